"""What Ctrl-C and SIGTERM do while work is going on."""

import os
import signal
import threading

import pytest

from vosplug.utils.interrupts import HeldInterrupts, Terminated, sigterm_as_interrupt, starting_workers


def send(number):
    os.kill(os.getpid(), number)


def handlers():
    return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)


@pytest.fixture(autouse=True)
def same_handlers():
    """Whatever happens, the signals do afterwards what they did before."""
    before = handlers()
    yield
    assert handlers() == before


def test_sigterm_is_an_interrupt_and_a_second_one_does_not_disturb():
    cleaned = []
    with pytest.raises(Terminated), sigterm_as_interrupt():
        try:
            send(signal.SIGTERM)
        finally:
            send(signal.SIGTERM)
            cleaned.append(True)
    assert cleaned and issubclass(Terminated, KeyboardInterrupt)


def test_an_ignored_sigterm_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with sigterm_as_interrupt(), HeldInterrupts() as held:
            send(signal.SIGTERM)
            assert held.number == 0
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_leave_signals_alone():
    seen = []

    def work():
        with sigterm_as_interrupt(), HeldInterrupts() as held:
            seen.append((handlers(), held.number))

    before = handlers()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, 0)]


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_signal_waits_until_it_is_asked_for(number, kind):
    with pytest.raises(KeyboardInterrupt) as caught, HeldInterrupts() as held:
        assert held.number == 0
        send(number)
        send(signal.SIGTERM)
        assert held.number == number
        held.end()
    assert caught.type is kind


def test_what_waits_at_the_end_is_raised_there_unless_there_is_an_error():
    done = []
    with pytest.raises(Terminated), HeldInterrupts():
        send(signal.SIGTERM)
        done.append(True)
    assert done
    with pytest.raises(ValueError, match="first"), HeldInterrupts():
        send(signal.SIGTERM)
        raise ValueError("first")


def test_a_second_ctrl_c_ends_at_once():
    after = []
    with pytest.raises(KeyboardInterrupt), HeldInterrupts():
        send(signal.SIGINT)
        send(signal.SIGINT)
        after.append(True)
    assert not after


def test_signals_can_be_let_through():
    order = []
    with pytest.raises(KeyboardInterrupt), HeldInterrupts() as held, held.let_through():
        send(signal.SIGINT)
        order.append("not reached")
    with pytest.raises(Terminated), HeldInterrupts() as held:
        send(signal.SIGTERM)
        with held.let_through():
            order.append("not reached")
    with HeldInterrupts() as held:
        with held.let_through():
            order.append("inside")
        assert signal.getsignal(signal.SIGINT) == held._note
    assert order == ["inside"]


def test_sigterm_waits_while_workers_start():
    with pytest.raises(Terminated), HeldInterrupts() as held:
        with starting_workers():
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
            assert held.number == 0
        assert held.number == signal.SIGTERM
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        with starting_workers():
            pass
        assert signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ())  # as it was before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
