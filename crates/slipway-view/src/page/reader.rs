//! Who reads a page, as far as the page depends on it.

/// What somebody may do to a release from its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Hold it back, or one of its packages.
    Hold,
    /// Let go on what is held.
    Lift,
    /// Keep its staged packages for longer.
    Extend,
    /// Give it up.
    Close,
}

/// The reader of a page.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is true or not whatever the others are")]
pub struct Reader<'a> {
    /// Which build of the dashboard's files belongs to the page: a part of their addresses. Empty: whichever is there.
    pub assets: &'a str,
    /// Their user name, where they have signed in.
    pub name: Option<&'a str>,
    /// Whether this deployment lets people sign in.
    pub may_sign_in: bool,
    /// The page's address, with its query: where a sign-in leads back to.
    pub path: &'a str,
    /// What they may do with the project that the page is about.
    pub may: &'a [Act],
    /// Whether what is public is all that they see of what the page is about.
    pub is_public: bool,
    /// Whether they read all of it only because anybody may. What has servers asked is for those who belong to the project, so
    /// they are not led to it.
    pub is_outsider: bool,
    /// Whether GitLab does not answer what they may do. They read on by what it said before.
    pub is_untold: bool,
}

impl Reader<'_> {
    /// Where a file of the dashboard is.
    pub fn asset(&self, name: &str) -> String {
        match self.assets {
            "" => format!("/assets/{name}"),
            build => format!("/assets/{build}/{name}"),
        }
    }
}
