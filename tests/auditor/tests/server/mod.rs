//! A server of a few files, some of which are others at the next read.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

/// What is under a path: the same at every read, or something for each, of which the last stays.
pub(crate) trait Contents: Send + 'static {
    /// The next answer. `None` is a 404.
    fn next(&mut self) -> Option<Vec<u8>>;
}

impl Contents for String {
    fn next(&mut self) -> Option<Vec<u8>> {
        Some(self.clone().into_bytes())
    }
}

impl<T: Clone + Into<Vec<u8>> + Send + 'static> Contents for Vec<Option<T>> {
    fn next(&mut self) -> Option<Vec<u8>> {
        let answer = if self.len() > 1 { self.remove(0) } else { self.first().cloned().flatten() };
        answer.map(Into::into)
    }
}

/// Serves these paths and nothing else. Its address.
pub(crate) fn serve<C: Contents>(mut files: BTreeMap<String, C>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    // Ends with the test's process.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines().map_while(Result::ok);
            let first = lines.next().unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let body = files.get_mut(first.split(' ').nth(1).unwrap_or_default()).and_then(Contents::next);
            let (status, body) = body.map_or(("404 Nothing", Vec::new()), |body| ("200 OK", body));
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(&body);
        }
    });
    url
}
