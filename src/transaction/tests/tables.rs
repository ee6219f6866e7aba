//! Every state × event of the four machines, as RFC 3261's figures 5–8 have them with RFC 6026's
//! corrections. `=` stands for a state that stays, `-` for nothing to do.

use std::fmt::Debug;

use expect_test::{Expect, expect};

use super::super::{client_invite, client_non_invite, server_invite, server_non_invite};

fn check<S, E, A>(states: &[S], events: &[E], step: fn(S, E) -> (S, &'static [A]), expected: &Expect)
where
    S: Copy + PartialEq + Debug,
    E: Copy + Debug,
    A: Debug + 'static,
{
    let mut table = String::new();
    for state in states {
        for event in events {
            let (next, actions) = step(*state, *event);
            let next = if next == *state { "=".to_owned() } else { format!("{next:?}") };
            let actions = actions.iter().map(|action| format!("{action:?}")).collect::<Vec<_>>().join(", ");
            let actions = if actions.is_empty() { "-" } else { &actions };
            table +=
                &format!("{:<11}{:<15}{next:<11}{actions}\n", format!("{state:?}"), format!("{event:?}"));
        }
    }
    expected.assert_eq(&table);
}

#[test]
fn invite_client_is_figure_5_with_accepted() {
    use client_invite::Event::*;
    use client_invite::State::*;
    check(
        &[Calling, Proceeding, Completed, Accepted, Terminated],
        &[Provisional, Success, Failure, TimerA, TimerB, TimerD, TimerM, CancelTimer, TransportError],
        client_invite::step,
        &expect![[r#""#]],
    );
}

#[test]
fn non_invite_client_is_figure_6() {
    use client_non_invite::Event::*;
    use client_non_invite::State::*;
    check(
        &[Trying, Proceeding, Completed, Terminated],
        &[Provisional, Final, TimerE, TimerF, TimerK, TransportError],
        client_non_invite::step,
        &expect![[r#""#]],
    );
}

#[test]
fn invite_server_is_figure_7_with_accepted() {
    use server_invite::Event::*;
    use server_invite::State::*;
    check(
        &[Proceeding, Completed, Confirmed, Accepted, Terminated],
        &[Invite, Ack, Provisional, Success, Failure, TimerG, TimerH, TimerI, TimerL, TransportError],
        server_invite::step,
        &expect![[r#""#]],
    );
}

#[test]
fn non_invite_server_is_figure_8() {
    use server_non_invite::Event::*;
    use server_non_invite::State::*;
    check(
        &[Trying, Proceeding, Completed, Terminated],
        &[Request, Provisional, Final, TimerJ, TransportError],
        server_non_invite::step,
        &expect![[r#""#]],
    );
}
