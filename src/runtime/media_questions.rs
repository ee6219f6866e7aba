//! Who waits for the relay's word on a session. Whoever waits gives up by himself; the relay need not answer.

use tokio::sync::oneshot;

use crate::media::{LiveMedia, MediaSessionId};

/// So many may wait at once; further ones are not answered.
const WAITING_MAX: usize = 64;

/// Where an answer goes; `None`: there is no such session any more.
pub type Answer = oneshot::Sender<Option<Box<LiveMedia>>>;

/// Those who wait.
#[derive(Debug, Default)]
pub(super) struct MediaQuestions(Vec<(MediaSessionId, Answer)>);

impl MediaQuestions {
    pub(super) fn add(&mut self, session: MediaSessionId, answer: Answer) {
        self.0.retain(|(_, waiting)| !waiting.is_closed());
        if self.0.len() < WAITING_MAX {
            self.0.push((session, answer));
        }
    }

    /// The relay's word, for the one who asked first.
    pub(super) fn answer(&mut self, session: MediaSessionId, live: Option<Box<LiveMedia>>) {
        let asked = self.0.iter().position(|(of, _)| *of == session);
        if let Some(at) = asked {
            let (_, answer) = self.0.remove(at);
            // Who asked may have given up.
            let _ = answer.send(live);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_question_is_answered_once_and_those_who_gave_up_make_room() {
        let mut questions = MediaQuestions::default();
        let mut waiting = Vec::new();
        for number in 0..2 * WAITING_MAX as u64 {
            let (answer, answered) = oneshot::channel();
            questions.add(MediaSessionId(number), answer);
            waiting.push(answered);
        }
        assert_eq!(questions.0.len(), WAITING_MAX);
        questions.answer(MediaSessionId(0), None);
        assert_eq!(waiting[0].try_recv(), Ok(None));
        questions.answer(MediaSessionId(0), None);
        assert_eq!(questions.0.len(), WAITING_MAX - 1);
        waiting.clear();
        let (answer, mut answered) = oneshot::channel();
        questions.add(MediaSessionId(7), answer);
        assert_eq!(questions.0.len(), 1);
        questions.answer(MediaSessionId(7), None);
        assert_eq!(answered.try_recv(), Ok(None));
    }
}
