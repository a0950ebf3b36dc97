//! An `Http` of recorded answers.
