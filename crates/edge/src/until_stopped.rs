//! A network that sends nothing that could change anything while Slipway is stopped.

use slipway_ledger::{Record, Sql};
use slipway_wire::{Http, Request, Response, Unreachable};

/// What a project's record lends to work that takes many requests: a stop in between must not wait for the last of them.
pub(crate) struct UntilStopped<'a, S, H> {
    pub(crate) record: &'a Record<S>,
    pub(crate) http: &'a H,
}

impl<S: Sql, H: Http> Http for UntilStopped<'_, S, H> {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        if !request.method().is_safe() {
            // A record that cannot be read may be stopped.
            let why = match self.record.stopped() {
                Ok(None) => return self.http.send(request).await,
                Ok(Some(stopped)) => stopped.to_string(),
                Err(error) => error.to_string(),
            };
            return Err(Unreachable { host: "the edge".to_owned(), why });
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
    use slipway_ledger::rusqlite::Database;

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
    }

    #[test]
    fn while_slipway_is_stopped_everything_can_be_read_and_nothing_is_sent_that_changes_anything() {
        let record = Record::open(Database::in_memory()).expect("a record");
        let wire = Wire::default();
        let http = UntilStopped { record: &record, http: &wire };
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
}
