//! Readers who wait until a release changes, woken by the change itself.
//!
//! Who waits is in memory alone, in the object that writes: a reader whose object is killed loses its connection, and asks
//! again. Which release has changed is not kept: whoever is woken reads the record, and waits on if it was another.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::future::select;

use crate::port::Clock;

/// Those who wait.
#[derive(Debug, Default)]
pub struct Followers {
    /// How many changes there were.
    changes: Cell<u64>,
    /// Who waits, each by the number of its wait.
    waiting: RefCell<BTreeMap<u64, Waker>>,
    waits: Cell<u64>,
}

/// One waits until this is dropped: also when whoever asked is gone.
struct Wait<'a> {
    all: &'a Followers,
    number: u64,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.all.waiting.borrow_mut().remove(&self.number);
    }
}

impl Followers {
    /// Something has changed.
    pub fn wake(&self) {
        self.changes.set(self.changes.get().wrapping_add(1));
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        for waker in waiting.into_values() {
            waker.wake();
        }
    }

    /// Waits for the next change, and no longer than `limit`.
    pub async fn changed(&self, clock: &impl Clock, limit: Duration) {
        let before = self.changes.get();
        let number = self.waits.get();
        self.waits.set(number.wrapping_add(1));
        let wait = Wait { all: self, number };
        let change = poll_fn(|context| {
            if self.changes.get() != before {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().insert(wait.number, context.waker().clone());
            Poll::Pending
        });
        select(pin!(change), pin!(clock.pause(limit))).await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Context, Wake};

    use slipway_core::time::Timestamp;

    use super::*;

    /// A clock whose pauses end when they are told to.
    #[derive(Default)]
    struct Time(Cell<bool>);

    impl Clock for Time {
        fn now(&self) -> Timestamp {
            Timestamp(0)
        }

        fn random(&self) -> [u8; 16] {
            [0; 16]
        }

        async fn pause(&self, _wait: Duration) {
            poll_fn(|_| if self.0.get() { Poll::Ready(()) } else { Poll::Pending }).await;
        }
    }

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_over(wait: Pin<&mut impl Future<Output = ()>>, woken: &Arc<Woken>) -> bool {
        wait.poll(&mut Context::from_waker(&Waker::from(Arc::clone(woken)))).is_ready()
    }

    #[test]
    fn a_change_wakes_everybody_who_waits_and_nobody_who_comes_later() {
        let (followers, time) = (Followers::default(), Time::default());
        let (one, other, late) = (Arc::<Woken>::default(), Arc::<Woken>::default(), Arc::<Woken>::default());
        let mut first = pin!(followers.changed(&time, Duration::MAX));
        let mut second = pin!(followers.changed(&time, Duration::MAX));
        assert!(!is_over(first.as_mut(), &one) && !is_over(second.as_mut(), &other));
        followers.wake();
        assert_eq!([&one, &other].map(|woken| woken.0.load(Ordering::Relaxed)), [1, 1]);
        let mut third = pin!(followers.changed(&time, Duration::MAX));
        assert!(!is_over(third.as_mut(), &late), "what changed before is no change to it");
        assert!(is_over(first.as_mut(), &one) && is_over(second.as_mut(), &other));
        assert_eq!(followers.waiting.borrow().len(), 1);
    }

    #[test]
    fn nobody_waits_any_more_whose_time_is_up_or_who_has_gone() {
        let (followers, time) = (Followers::default(), Time::default());
        let woken = Arc::<Woken>::default();
        {
            let mut gone = pin!(followers.changed(&time, Duration::MAX));
            assert!(!is_over(gone.as_mut(), &woken));
            assert_eq!(followers.waiting.borrow().len(), 1);
        }
        assert!(followers.waiting.borrow().is_empty());
        {
            let mut late = pin!(followers.changed(&time, Duration::from_secs(1)));
            assert!(!is_over(late.as_mut(), &woken));
            time.0.set(true);
            assert!(is_over(late.as_mut(), &woken));
        }
        assert!(followers.waiting.borrow().is_empty());
    }
}
