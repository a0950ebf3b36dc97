//! Who asks: an installation's address and the API token of one of its users.

use http::Method;
use http::header::{ACCEPT, AUTHORIZATION};
use slipway_wire::{Base, Request, Token};

/// A user of one packagecloud installation.
///
/// packagecloud's API tokens cannot be narrowed: a token can push, delete and promote wherever its user can. So staging
/// and public need two accounts.
#[derive(Clone, Debug)]
pub struct Account {
    base: Base,
    token: Token,
}

impl Account {
    /// The user of `token` at the installation `base`.
    pub fn new(base: Base, token: Token) -> Self {
        Self { base, token }
    }

    /// Where the installation is.
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// The user's API token. It opens the user's private indexes and downloads too.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// A request as this user, without a body: the token is the basic user, the password is empty.
    pub(crate) fn request(&self, method: Method, url: &str) -> Result<Request, http::Error> {
        http::Request::builder()
            .method(method)
            .uri(url)
            .header(AUTHORIZATION, self.token.basic()?)
            .header(ACCEPT, "application/json")
            .body(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    #[test]
    fn the_token_is_the_basic_user_with_no_password() {
        let request = fake::account().request(Method::GET, "https://packages.example.com/x").expect("a request");
        // base64 of `t0k3n:`
        assert_eq!(request.headers()[AUTHORIZATION], "Basic dDBrM246");
        assert!(request.headers()[AUTHORIZATION].is_sensitive());
    }

    #[test]
    fn printing_an_account_does_not_show_its_token() {
        assert!(!format!("{:?}", fake::account()).contains("t0k3n"));
    }
}
