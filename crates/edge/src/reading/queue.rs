//! Those who ask the same, and the one of them who reads for all.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::future::select;
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_wire::{Planted, planted};

use crate::port::Clock;

/// A reading waits for others that ask the same: until nobody has come for so long, and so often at the most while more
/// and more come.
#[derive(Clone, Copy)]
pub(super) struct Gather {
    quiet: Duration,
    times_max: u32,
}

impl Gather {
    /// For the first of several readings. Packages whose orders went out together look together, as soon as each has
    /// opened its database, and all of them are answered by one list.
    pub(super) const PATIENT: Self = Self { quiet: Duration::from_millis(40), times_max: 6 };
    /// For those that follow: copies end one by one, and nobody should wait for the last.
    pub(super) const BRIEF: Self = Self { quiet: Duration::from_millis(10), times_max: 2 };
}

/// A reading is the first of several when none has ended for so long.
const BURST: Duration = Duration::from_secs(2);
/// How often one who waits looks by itself whether the reading is there. It is woken, unless the reader was lost.
const GLANCE: Duration = Duration::from_secs(5);
/// A reading that takes longer than any may is begun by another: its reader was lost without a word.
const LOST_AFTER: Duration = Duration::from_mins(5);

/// What a reading has found of each item.
pub(super) type Answers<I, A> = Result<BTreeMap<I, A>, Trouble>;

/// Those who ask the same server the same kind of thing, by what is read.
struct Queue<I, A> {
    /// What the next reading is for.
    next: BTreeSet<I>,
    /// The next reading's number.
    number: u64,
    /// Since when somebody gathers for it, or reads.
    reading: Option<Timestamp>,
    /// The last readings.
    done: BTreeMap<u64, Answers<I, A>>,
    /// How many readings have ended.
    ended: u64,
    /// When the last one did.
    ended_at: Option<Timestamp>,
    /// Those who wait until one ends.
    waiting: Vec<Waker>,
}

impl<I, A> Default for Queue<I, A> {
    fn default() -> Self {
        Self {
            next: BTreeSet::new(),
            number: 0,
            reading: None,
            done: BTreeMap::new(),
            ended: 0,
            ended_at: None,
            waiting: Vec::new(),
        }
    }
}

/// A table of queues. It lives in memory alone: whoever waits in vain asks again.
pub(super) struct Queues<I, A> {
    /// How the first of several readings gathers.
    first: Gather,
    queues: RefCell<BTreeMap<String, Queue<I, A>>>,
}

impl<I: Ord + Clone, A: Clone> Queues<I, A> {
    pub(super) fn new(first: Gather) -> Self {
        Self { first, queues: RefCell::default() }
    }

    /// The answer for one item, from a reading that begins after this was called.
    pub(super) async fn ask(
        &self,
        clock: &impl Clock,
        queue: &str,
        item: I,
        read: impl AsyncFn(&BTreeSet<I>) -> Answers<I, A>,
    ) -> Result<Option<A>, Trouble> {
        let number = self.with(queue, |queue| {
            queue.next.insert(item.clone());
            if planted(Planted::AnswersFromAnOldReading) && !queue.done.is_empty() {
                return queue.number.saturating_sub(1);
            }
            queue.number
        });
        loop {
            let (answer, leads) = self.with(queue, |queue| {
                let answer = queue.done.get(&number).cloned();
                // A reading that seems to begin only later was begun when the clock was wrong.
                let now = clock.now();
                let is_lost = queue.reading.is_some_and(|since| since > now || now.since(since) > LOST_AFTER);
                let leads = answer.is_none() && (queue.reading.is_none() || is_lost);
                if leads {
                    queue.reading = Some(clock.now());
                }
                (answer, leads)
            });
            if let Some(answers) = answer {
                return answers.map(|answers| answers.get(&item).cloned());
            }
            if !leads {
                self.until_one_ends(clock, queue).await;
                continue;
            }
            let leads = Leads { queues: self, queue };
            let follows = self.with(queue, |queue| queue.ended_at.is_some_and(|at| clock.now().since(at) < BURST));
            let gather = if follows { Gather::BRIEF } else { self.first };
            for _ in 0..gather.times_max {
                let before = self.with(queue, |queue| queue.next.len());
                clock.pause(gather.quiet).await;
                if self.with(queue, |queue| queue.next.len()) == before {
                    break;
                }
            }
            let (number, mut items) = self.with(queue, |queue| {
                let number = queue.number;
                queue.number += 1;
                queue.reading = Some(clock.now());
                (number, std::mem::take(&mut queue.next))
            });
            // After a reader that was lost, this one is late for it: the item goes along again.
            items.insert(item.clone());
            let answers = read(&items).await;
            self.with(queue, |queue| {
                queue.done.insert(number, answers.clone());
                while queue.done.len() > 4 {
                    queue.done.pop_first();
                }
                queue.ended_at = Some(clock.now());
            });
            drop(leads);
            return answers.map(|answers| answers.get(&item).cloned());
        }
    }

    /// Waits until a reading of this queue ends, or for a while.
    async fn until_one_ends(&self, clock: &impl Clock, queue: &str) {
        let before = self.with(queue, |queue| queue.ended);
        let ended = poll_fn(|context| {
            self.with(queue, |queue| {
                if queue.ended != before {
                    return Poll::Ready(());
                }
                if !queue.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                    queue.waiting.push(context.waker().clone());
                }
                Poll::Pending
            })
        });
        select(ended, pin!(clock.pause(GLANCE))).await;
    }

    /// A reading is over, or was given up: somebody else may read.
    fn ends(&self, queue: &str) {
        let waiting = self.with(queue, |queue| {
            queue.reading = None;
            queue.ended += 1;
            std::mem::take(&mut queue.waiting)
        });
        waiting.into_iter().for_each(Waker::wake);
    }

    fn with<T>(&self, queue: &str, work: impl FnOnce(&mut Queue<I, A>) -> T) -> T {
        work(self.queues.borrow_mut().entry(queue.to_owned()).or_default())
    }
}

/// Whoever reads for all, until this is dropped: also when the one who asked is gone.
struct Leads<'a, I: Ord + Clone, A: Clone> {
    queues: &'a Queues<I, A>,
    queue: &'a str,
}

impl<I: Ord + Clone, A: Clone> Drop for Leads<'_, I, A> {
    fn drop(&mut self) {
        self.queues.ends(self.queue);
    }
}
