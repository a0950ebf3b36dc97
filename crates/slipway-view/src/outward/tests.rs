//! What is not public changes no byte of any answer.

