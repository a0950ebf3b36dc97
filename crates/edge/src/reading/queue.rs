//! Those who ask the same, and the one of them who reads for all.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_wire::{Planted, planted};

use crate::port::Clock;

/// A reading waits for others that ask the same, until nobody has come for so long. It is short beside any request to a
/// server.
const GATHER: Duration = Duration::from_millis(40);
/// How often it waits so at the most, while more and more come.
const GATHERS_MAX: u32 = 6;
/// How often one who waits looks whether the reading is there.
const GLANCE: Duration = Duration::from_millis(15);
/// A reading whose reader was lost is begun by another after this: longer than any exchange may take.
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
}

impl<I, A> Default for Queue<I, A> {
    fn default() -> Self {
        Self { next: BTreeSet::new(), number: 0, reading: None, done: BTreeMap::new() }
    }
}

/// A table of queues. It lives in memory alone: whoever waits in vain asks again.
pub(super) struct Queues<I, A>(RefCell<BTreeMap<String, Queue<I, A>>>);

impl<I, A> Default for Queues<I, A> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<I: Ord + Clone, A: Clone> Queues<I, A> {
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
                let is_lost = queue.reading.is_some_and(|since| clock.now().since(since) > LOST_AFTER);
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
                clock.pause(GLANCE).await;
                continue;
            }
            for _ in 0..GATHERS_MAX {
                let before = self.with(queue, |queue| queue.next.len());
                clock.pause(GATHER).await;
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
                queue.reading = None;
                queue.done.insert(number, answers.clone());
                while queue.done.len() > 4 {
                    queue.done.pop_first();
                }
            });
            return answers.map(|answers| answers.get(&item).cloned());
        }
    }

    fn with<T>(&self, queue: &str, work: impl FnOnce(&mut Queue<I, A>) -> T) -> T {
        work(self.0.borrow_mut().entry(queue.to_owned()).or_default())
    }
}
