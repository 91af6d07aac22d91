//! One change of a container at a time, each to its end.
//!
//! A call of a driver may be dropped at any moment. An engine that is dropped in the midst of a start leaves a
//! process that it knows nothing of, and a removal that overtakes a creation leaves a container. So such work goes
//! on by itself, and what comes next waits for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::environment::driver::Answer;

/// Longest time that one change may take; the engine is not waited for any longer then.
const LIMIT: Duration = Duration::from_mins(5);

static TURNS: Mutex<BTreeMap<String, Weak<tokio::sync::Mutex<()>>>> = Mutex::new(BTreeMap::new());

fn turn_of(name: &str) -> Arc<tokio::sync::Mutex<()>> {
    let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    turns.retain(|_, turn| turn.strong_count() > 0);
    let known = turns.get(name).and_then(Weak::upgrade);
    known.unwrap_or_else(|| {
        let turn = Arc::default();
        turns.insert(name.to_owned(), Arc::downgrade(&turn));
        turn
    })
}

/// Does work on a container when its turn has come; dropped, it goes on.
pub async fn whole<T: Send + 'static>(
    name: String,
    work: impl Future<Output = Answer<T>> + Send + 'static,
) -> Answer<T> {
    let task = tokio::spawn(async move {
        let turn = turn_of(&name);
        let _turn = turn.lock().await;
        match tokio::time::timeout(LIMIT, work).await {
            Ok(answer) => answer,
            Err(_) => Answer::unknown(format!("{name}: the engine has not answered within {LIMIT:?}")),
        }
    });
    task.await.unwrap_or_else(|broken| Answer::unknown(broken.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_is_dropped_goes_on_and_what_follows_waits_for_it() {
        static DONE: AtomicBool = AtomicBool::new(false);
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let first = whole("one".into(), async move {
            let _told = gone.await;
            DONE.store(true, Ordering::SeqCst);
            Answer::Done(())
        });
        assert!(tokio::time::timeout(Duration::from_millis(5), first).await.is_err());
        let other = whole("two".into(), async { Answer::Done(DONE.load(Ordering::SeqCst)) }).await;
        assert_eq!(other, Answer::Done(false));
        let next = tokio::spawn(whole("one".into(), async { Answer::Done(DONE.load(Ordering::SeqCst)) }));
        go.send(()).unwrap();
        assert_eq!(next.await.unwrap(), Answer::Done(true));
    }
}
