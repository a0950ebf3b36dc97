//! Futures on a clock of their own: nothing waits for real.
//!
//! What is ready runs, one thing at a time and always in the same order; when nothing is, the clock goes on to what comes
//! next. Killing a process drops its futures where they stand.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The tasks that can go on.
#[derive(Default)]
struct Ready(Mutex<Vec<u64>>);

struct Bell {
    task: u64,
    ready: Arc<Ready>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ready.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.task);
    }
}

/// What comes at some moment.
enum Next<E> {
    Wake(Waker),
    Event(E),
}

/// The clock, the tasks, and what is to come. `E` is what can happen beside a task's waking.
pub struct Executor<E> {
    now: Cell<i64>,
    number: Cell<u64>,
    next: RefCell<BTreeMap<(i64, u64), Next<E>>>,
    tasks: RefCell<BTreeMap<u64, (Task, Waker)>>,
    ready: Arc<Ready>,
}

/// What the executor has done.
pub enum Did<E> {
    /// A task has run until it had to wait.
    Ran,
    /// The clock has gone on, and this happens.
    Event(E),
    /// There is nothing that could ever happen.
    Nothing,
}

impl<E> Executor<E> {
    /// One whose clock shows this many milliseconds.
    pub fn new(now: i64) -> Self {
        Self {
            now: Cell::new(now),
            number: Cell::new(0),
            next: RefCell::default(),
            tasks: RefCell::default(),
            ready: Arc::default(),
        }
    }

    /// The time.
    pub fn now(&self) -> i64 {
        self.now.get()
    }

    fn number(&self) -> u64 {
        self.number.set(self.number.get() + 1);
        self.number.get()
    }

    /// Has something happen later.
    pub fn after(&self, ms: i64, event: E) {
        let key = (self.now.get().saturating_add(ms.max(0)), self.number());
        self.next.borrow_mut().insert(key, Next::Event(event));
    }

    /// Adds a task of the living process.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let id = self.number();
        let waker = Waker::from(Arc::new(Bell { task: id, ready: Arc::clone(&self.ready) }));
        self.tasks.borrow_mut().insert(id, (Box::pin(task), waker.clone()));
        waker.wake();
    }

    /// Lets time pass for whoever awaits it.
    pub fn sleep(&self, ms: i64) -> Sleep<'_, E> {
        Sleep { executor: self, until: self.now.get().saturating_add(ms), armed: false }
    }

    /// How many tasks there are.
    pub fn tasks(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// Drops every task where it stands.
    pub fn kill(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
        self.ready.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Forgets what was to come, too.
    pub fn end(&self) {
        self.kill();
        let next = std::mem::take(&mut *self.next.borrow_mut());
        drop(next);
    }

    /// What is to come beside tasks' waking, in its order. With no task left, nobody is there to be woken.
    pub fn coming(&self) -> Vec<(i64, E)>
    where
        E: Clone,
    {
        let next = self.next.borrow();
        let events = next.iter().filter_map(|((at, _), next)| match next {
            Next::Wake(_) => None,
            Next::Event(event) => Some((*at, event.clone())),
        });
        events.collect()
    }

    /// Goes back to a moment when there was no task.
    pub fn go_back(&self, now: i64, coming: &[(i64, E)])
    where
        E: Clone,
    {
        self.end();
        self.now.set(now);
        let mut next = self.next.borrow_mut();
        for (at, event) in coming {
            next.insert((*at, self.number()), Next::Event(event.clone()));
        }
    }

    /// One thing more.
    pub fn step(&self) -> Did<E> {
        let ready = {
            let mut ready = self.ready.0.lock().unwrap_or_else(PoisonError::into_inner);
            if ready.is_empty() { None } else { Some(ready.remove(0)) }
        };
        if let Some(id) = ready {
            let task = self.tasks.borrow_mut().remove(&id);
            if let Some((mut task, waker)) = task
                && task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
            {
                self.tasks.borrow_mut().insert(id, (task, waker));
            }
            return Did::Ran;
        }
        let next = self.next.borrow_mut().pop_first();
        match next {
            None => Did::Nothing,
            Some(((at, _), next)) => {
                self.now.set(self.now.get().max(at));
                match next {
                    Next::Wake(waker) => {
                        waker.wake();
                        Did::Ran
                    }
                    Next::Event(event) => Did::Event(event),
                }
            }
        }
    }
}

/// Some time that passes.
pub struct Sleep<'a, E> {
    executor: &'a Executor<E>,
    until: i64,
    armed: bool,
}

impl<E> Future for Sleep<'_, E> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.executor.now() >= self.until {
            return Poll::Ready(());
        }
        if !self.armed {
            self.armed = true;
            let key = (self.until, self.executor.number());
            self.executor.next.borrow_mut().insert(key, Next::Wake(context.waker().clone()));
        }
        Poll::Pending
    }
}
