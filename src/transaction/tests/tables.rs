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
        &[Calling, Proceeding, Completed, Accepted, Abandoned, Terminated],
        &[
            Provisional,
            Success,
            Failure,
            TimerA,
            TimerB,
            TimerD,
            TimerM,
            CancelTimer,
            TransportError,
            ConnectionLost,
        ],
        client_invite::step,
        &expect![[r#"
            Calling    Provisional    Proceeding Stop(A), Stop(B), Deliver
            Calling    Success        Accepted   Stop(A), Arm(M), Deliver
            Calling    Failure        Completed  Stop(A), Arm(D), Ack, Deliver
            Calling    TimerA         =          Repeat, Arm(A)
            Calling    TimerB         Terminated End(Timeout)
            Calling    TimerD         =          -
            Calling    TimerM         =          -
            Calling    CancelTimer    =          -
            Calling    TransportError Terminated End(Transport)
            Calling    ConnectionLost Abandoned  Stop(A), End(Transport)
            Proceeding Provisional    =          Deliver
            Proceeding Success        Accepted   Arm(M), Deliver
            Proceeding Failure        Completed  Arm(D), Ack, Deliver
            Proceeding TimerA         =          -
            Proceeding TimerB         =          -
            Proceeding TimerD         =          -
            Proceeding TimerM         =          -
            Proceeding CancelTimer    Terminated End(Timeout)
            Proceeding TransportError =          Doubt
            Proceeding ConnectionLost =          Doubt
            Completed  Provisional    =          -
            Completed  Success        =          -
            Completed  Failure        =          RepeatAck
            Completed  TimerA         =          -
            Completed  TimerB         =          -
            Completed  TimerD         Terminated -
            Completed  TimerM         =          -
            Completed  CancelTimer    =          -
            Completed  TransportError Terminated -
            Completed  ConnectionLost Terminated -
            Accepted   Provisional    =          -
            Accepted   Success        =          Deliver
            Accepted   Failure        =          -
            Accepted   TimerA         =          -
            Accepted   TimerB         =          -
            Accepted   TimerD         =          -
            Accepted   TimerM         Terminated -
            Accepted   CancelTimer    =          -
            Accepted   TransportError =          -
            Accepted   ConnectionLost =          -
            Abandoned  Provisional    Proceeding Stop(B), Deliver
            Abandoned  Success        Accepted   Arm(M), Deliver
            Abandoned  Failure        Completed  Arm(D), Ack, Deliver
            Abandoned  TimerA         =          -
            Abandoned  TimerB         Terminated -
            Abandoned  TimerD         =          -
            Abandoned  TimerM         =          -
            Abandoned  CancelTimer    =          -
            Abandoned  TransportError =          -
            Abandoned  ConnectionLost =          -
            Terminated Provisional    =          -
            Terminated Success        =          -
            Terminated Failure        =          -
            Terminated TimerA         =          -
            Terminated TimerB         =          -
            Terminated TimerD         =          -
            Terminated TimerM         =          -
            Terminated CancelTimer    =          -
            Terminated TransportError =          -
            Terminated ConnectionLost =          -
        "#]],
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
        &expect![[r#"
            Trying     Provisional    Proceeding Deliver
            Trying     Final          Completed  Stop(E), Arm(K), Deliver
            Trying     TimerE         =          Repeat, Arm(E)
            Trying     TimerF         Terminated End(Timeout)
            Trying     TimerK         =          -
            Trying     TransportError Terminated End(Transport)
            Proceeding Provisional    =          Deliver
            Proceeding Final          Completed  Stop(E), Arm(K), Deliver
            Proceeding TimerE         =          Repeat, ArmAtT2(E)
            Proceeding TimerF         Terminated End(Timeout)
            Proceeding TimerK         =          -
            Proceeding TransportError Terminated End(Transport)
            Completed  Provisional    =          -
            Completed  Final          =          -
            Completed  TimerE         =          -
            Completed  TimerF         =          -
            Completed  TimerK         Terminated -
            Completed  TransportError =          -
            Terminated Provisional    =          -
            Terminated Final          =          -
            Terminated TimerE         =          -
            Terminated TimerF         =          -
            Terminated TimerK         =          -
            Terminated TransportError =          -
        "#]],
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
        &expect![[r#"
            Proceeding Invite         =          Repeat
            Proceeding Ack            =          -
            Proceeding Provisional    =          Send
            Proceeding Success        Accepted   Send, Arm(L)
            Proceeding Failure        Completed  Send, Arm(G), Arm(H)
            Proceeding TimerG         =          -
            Proceeding TimerH         =          -
            Proceeding TimerI         =          -
            Proceeding TimerL         =          -
            Proceeding TransportError =          End(Transport)
            Completed  Invite         =          Repeat
            Completed  Ack            Confirmed  Stop(G), Arm(I)
            Completed  Provisional    =          -
            Completed  Success        =          -
            Completed  Failure        =          -
            Completed  TimerG         =          Repeat, Arm(G)
            Completed  TimerH         Terminated End(NoAck)
            Completed  TimerI         =          -
            Completed  TimerL         =          -
            Completed  TransportError =          End(Transport)
            Confirmed  Invite         =          -
            Confirmed  Ack            =          -
            Confirmed  Provisional    =          -
            Confirmed  Success        =          -
            Confirmed  Failure        =          -
            Confirmed  TimerG         =          -
            Confirmed  TimerH         =          -
            Confirmed  TimerI         Terminated -
            Confirmed  TimerL         =          -
            Confirmed  TransportError =          -
            Accepted   Invite         =          -
            Accepted   Ack            =          PassAck
            Accepted   Provisional    =          -
            Accepted   Success        =          SendAgain
            Accepted   Failure        =          -
            Accepted   TimerG         =          -
            Accepted   TimerH         =          -
            Accepted   TimerI         =          -
            Accepted   TimerL         Terminated -
            Accepted   TransportError =          End(Transport)
            Terminated Invite         =          -
            Terminated Ack            =          -
            Terminated Provisional    =          -
            Terminated Success        =          -
            Terminated Failure        =          -
            Terminated TimerG         =          -
            Terminated TimerH         =          -
            Terminated TimerI         =          -
            Terminated TimerL         =          -
            Terminated TransportError =          -
        "#]],
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
        &expect![[r#"
            Trying     Request        =          -
            Trying     Provisional    Proceeding Send
            Trying     Final          Completed  Send, Arm(J)
            Trying     TimerJ         =          -
            Trying     TransportError =          -
            Proceeding Request        =          Repeat
            Proceeding Provisional    =          Send
            Proceeding Final          Completed  Send, Arm(J)
            Proceeding TimerJ         =          -
            Proceeding TransportError =          End(Transport)
            Completed  Request        =          Repeat
            Completed  Provisional    =          -
            Completed  Final          =          -
            Completed  TimerJ         Terminated -
            Completed  TransportError =          End(Transport)
            Terminated Request        =          -
            Terminated Provisional    =          -
            Terminated Final          =          -
            Terminated TimerJ         =          -
            Terminated TransportError =          -
        "#]],
    );
}
