"""The parts in a call that many tests need; see script.py for the words."""

from script import audio, callee, caller


def call():
    """Calls, plays a second of audio, hangs up after the pause."""
    return caller().invites().is_answered().plays().pauses().hangs_up()


def call_until_bye():
    """Calls, plays, and waits for the other side to hang up."""
    return caller().invites().is_answered().plays().is_hung_up_on()


def call_and_cancel():
    """Gives up while it rings."""
    return caller().invites().hears(100, optional=True).hears(180).pauses(200).cancels()


def call_refused(status):
    """Calls, and expects this answer."""
    return caller().invites().is_refused(status)


def call_hold_resume():
    """Puts the other side on hold and takes it back."""
    return (caller().invites().is_answered().plays().pauses(300)
            .reinvites(audio(2, direction="sendonly")).pauses(300)
            .reinvites(audio(3)).pauses(300).hangs_up())


def answer():
    """Rings, answers, plays, waits for BYE."""
    return callee().is_invited().says(180).answers().plays().is_hung_up_on()


def answer_and_hang_up():
    """Rings, answers, plays, hangs up after the pause."""
    return callee().is_invited().says(180).answers().plays().pauses().hangs_up()


def answer_hold_resume():
    """Answers a call and the two re-INVITEs of `call_hold_resume`."""
    return (callee().is_invited().says(180).answers().plays()
            .is_reinvited(audio(2, "0 101", "recvonly"), has=["a=sendonly"])
            .is_reinvited(audio(3, "0 101"), has=["a=sendrecv"]).is_hung_up_on())


def ring_until_cancelled():
    """Rings, and never answers."""
    return callee().is_invited().says(180).is_cancelled()


def refuse(status):
    """Refuses with this answer."""
    return callee().is_invited().refuses(status)
