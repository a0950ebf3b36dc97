//! A network that sends nothing that could change anything once somebody says why not: Slipway is stopped, or the name was taken
//! back.

use std::fmt::Display;

use slipway_wire::{Http, Request, Response, Unreachable};

/// What is lent to work that takes many requests: a stop, or a withdrawal, in between must not wait for the last of them.
pub(crate) struct WhileAllowed<'a, F, H> {
    /// Who says why nothing may be changed any more: a project's record, or whoever asks it.
    pub(crate) why_not: F,
    pub(crate) http: &'a H,
}

impl<F: AsyncFn() -> Result<Option<W>, E>, W: Display, E: Display, H> WhileAllowed<'_, F, H> {
    /// Whether anything may be changed now. Whoever cannot say it may be stopped.
    pub(crate) async fn goes_on(&self) -> Result<(), Unreachable> {
        let why = match (self.why_not)().await {
            Ok(None) => return Ok(()),
            Ok(Some(why)) => why.to_string(),
            Err(error) => error.to_string(),
        };
        Err(Unreachable { host: "the edge".to_owned(), why })
    }
}

impl<F: AsyncFn() -> Result<Option<W>, E>, W: Display, E: Display, H: Http> Http for WhileAllowed<'_, F, H> {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        if !request.method().is_safe() {
            self.goes_on().await?;
        }
        self.http.send(request).await
    }

    async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        self.http.read(request, each).await
    }

    fn connections(&self) -> usize {
        self.http.connections()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::FutureExt as _;
    use slipway_core::time::Timestamp;
    use slipway_ledger::Record;
    use slipway_ledger::rusqlite::Database;

    use crate::port::Silent;

    use super::*;

    /// Counts what is sent.
    #[derive(Default)]
    struct Wire(Cell<u32>);

    impl Http for Wire {
        async fn send(&self, _: Request) -> Result<Response, Unreachable> {
            self.0.set(self.0.get() + 1);
            Ok(Response::default())
        }

        async fn read(&self, request: Request, _: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
            self.send(request).await
        }

        fn connections(&self) -> usize {
            2
        }
    }

    #[test]
    fn while_slipway_is_stopped_everything_can_be_read_and_nothing_is_sent_that_changes_anything() {
        let record = Record::open(Database::in_memory()).expect("a record");
        let wire = Wire::default();
        let http = WhileAllowed { why_not: async || record.stopped(), http: &wire };
        let sends = |method: &str| {
            let request = http::Request::builder().method(method).uri("https://registry.example.com/");
            let before = wire.0.get();
            let sent = http.send(request.body(Vec::new()).expect("a request")).now_or_never().expect("nothing waits");
            assert_eq!(sent.is_ok(), wire.0.get() > before);
            sent.map(drop).map_err(|error| error.to_string())
        };
        let (safe, changes) = (["GET", "HEAD", "OPTIONS"], ["DELETE", "POST", "PUT", "PATCH"]);
        assert!(safe.into_iter().chain(changes).all(|method| sends(method).is_ok()));
        record.stop("operator", "a wrong package is public", Timestamp(1)).expect("a switch");
        assert!(safe.into_iter().all(|method| sends(method).is_ok()));
        for method in changes {
            let why = sends(method).expect_err("it is stopped");
            assert!(why.contains("a wrong package is public"), "{why}");
        }
        record.start("operator", "it is withdrawn", Timestamp(2)).expect("a switch");
        assert!(changes.into_iter().all(|method| sends(method).is_ok()));
    }

    #[test]
    fn where_nobody_can_say_whether_it_is_stopped_nothing_is_changed() {
        let wire = Wire::default();
        let why_not = async || Err::<Option<String>, _>(Silent("the record is away".to_owned()));
        let http = WhileAllowed { why_not, http: &wire };
        for (method, sent) in [("GET", true), ("DELETE", false)] {
            let request = http::Request::builder().method(method).uri("https://registry.example.com/");
            let request = request.body(Vec::new()).expect("a request");
            assert_eq!(http.send(request).now_or_never().expect("nothing waits").is_ok(), sent, "{method}");
        }
        assert_eq!(wire.0.get(), 1, "the read alone was sent");
    }

    #[test]
    fn as_many_connections_are_used_as_the_network_has() {
        let wire = Wire::default();
        let why_not = async || Ok::<_, Silent>(None::<String>);
        assert_eq!(WhileAllowed { why_not, http: &wire }.connections(), 2);
    }
}
