//! `drawbridge top`: trunks, calls and media live in a terminal. A thread asks the daemon once a second, so that a
//! daemon that is slow never holds up a key.
//!
//! Must not know: how the daemon measures. What it says is JSON, and may hold more than is shown.

mod frame;
mod screen;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use crossterm::event::{self, Event, KeyEventKind};
use crossterm::{cursor, execute, queue, style, terminal};
use serde_json::Value;

use self::frame::{Frame, Size};
use self::screen::{Act, Screen};
use super::FAILED;
use super::operator::{self, DaemonArgs};
use super::style::Palette;

pub(super) const EXAMPLES: &str =
    "Keys: tab or ←→ trunks, calls; ↑↓ select; enter a call's page; esc back; / filter; s sort; q quit.

Examples:
  drawbridge top
  drawbridge top --once
  drawbridge top --once --json | jq .windows.hour

Exit status: 0, or 1 if no daemon answers, 2 wrong usage.";

/// Between two questions.
const EVERY: Duration = Duration::from_secs(1);
/// Between two looks at the keyboard.
const LOOK: Duration = Duration::from_millis(100);
/// Where standard output is no terminal.
const PLAIN: Size = Size { width: 100, height: usize::MAX };

/// What to watch, and whether to go on.
#[derive(Clone, Debug, clap::Args)]
pub struct TopArgs {
    /// Print one frame and end; so it is where standard output is no terminal
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// What was asked last.
#[derive(Clone, Default, Debug)]
struct Data {
    snapshot: Value,
    calls: Value,
    history: Value,
    /// The call whose page is open.
    call: Option<Result<Value, String>>,
}

pub(super) fn run(args: &TopArgs) -> ExitCode {
    if args.once || args.daemon.is_for_machines() || !io::stdout().is_terminal() || !io::stdin().is_terminal()
    {
        return once(&args.daemon);
    }
    match live(&args.daemon) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "drawbridge: this terminal cannot be used: {error}; try --once");
            ExitCode::from(FAILED)
        }
    }
}

fn once(args: &DaemonArgs) -> ExitCode {
    let told = look(args, None).map(|data| match args.is_for_machines() {
        true => format!("{:#}\n", data.snapshot),
        false => {
            let lines = Frame { data: &data, screen: &Screen::default(), size: PLAIN, lost: None }.both();
            lines.iter().map(|line| line.print(Palette::of_stdout()) + "\n").collect()
        }
    });
    match told {
        Ok(text) => {
            // Who has read enough is content.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "drawbridge: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn look(args: &DaemonArgs, call: Option<&str>) -> Result<Data, String> {
    Ok(Data {
        snapshot: operator::read(args, "/api/v1/snapshot")?,
        calls: operator::read(args, "/api/v1/calls")?,
        history: operator::read(args, "/api/v1/history")?,
        call: call.map(|id| operator::read(args, &operator::call_path(id))),
    })
}

fn live(args: &DaemonArgs) -> io::Result<ExitCode> {
    // Who cannot be asked is told so before the screen is taken.
    let first = match look(args, None) {
        Ok(data) => data,
        Err(error) => {
            let _ = writeln!(io::stderr(), "drawbridge: {error}");
            return Ok(ExitCode::from(FAILED));
        }
    };
    let (wishes, wished) = channel::<Option<String>>();
    let (answers, answered) = sync_channel(1);
    let asked = args.clone();
    std::thread::spawn(move || ask_on(&asked, &wished, &answers));
    let _terminal = Terminal::take()?;
    watch(first, &wishes, &answered)?;
    Ok(ExitCode::SUCCESS)
}

/// Asks once a second, and at once when another call is wished for; ends with who listens.
fn ask_on(args: &DaemonArgs, wished: &Receiver<Option<String>>, answers: &SyncSender<Result<Data, String>>) {
    let mut call: Option<String> = None;
    loop {
        match wished.recv_timeout(EVERY) {
            Ok(wish) => call = wish,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if answers.send(look(args, call.as_deref())).is_err() {
            return;
        }
    }
}

fn watch(
    mut data: Data,
    wishes: &Sender<Option<String>>,
    answered: &Receiver<Result<Data, String>>,
) -> io::Result<()> {
    let mut screen = Screen::default();
    let mut lost = None;
    let mut is_new = true;
    loop {
        match answered.try_recv() {
            Ok(Ok(newer)) => (data, lost, is_new) = (newer, None, true),
            Ok(Err(error)) => (lost, is_new) = (Some(error), true),
            Err(_) => {}
        }
        if std::mem::take(&mut is_new) {
            let (width, height) = terminal::size()?;
            let size = Size { width: width.into(), height: height.into() };
            screen.fit(&data);
            draw(&Frame { data: &data, screen: &screen, size, lost: lost.as_deref() })?;
        }
        if !event::poll(LOOK)? {
            continue;
        }
        is_new = true;
        if let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
        {
            match screen.press(key, &data) {
                Act::Quit => return Ok(()),
                Act::Show(call) => {
                    data.call = None;
                    // It lives as long as this loop.
                    let _ = wishes.send(call);
                }
                Act::Stay => {}
            }
        }
    }
}

fn draw(frame: &Frame<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    queue!(out, terminal::BeginSynchronizedUpdate)?;
    let lines = frame.lines();
    for row in 0..frame.size.height {
        let text = lines.get(row).map(|line| line.print(Palette::of_stdout())).unwrap_or_default();
        let row = u16::try_from(row).unwrap_or(u16::MAX);
        queue!(
            out,
            cursor::MoveTo(0, row),
            style::Print(text),
            terminal::Clear(terminal::ClearType::UntilNewLine)
        )?;
    }
    queue!(out, terminal::EndSynchronizedUpdate)?;
    out.flush()
}

/// The terminal while it is ours; given back as it was, also by a panic.
struct Terminal;

impl Terminal {
    fn take() -> io::Result<Terminal> {
        terminal::enable_raw_mode()?;
        let terminal = Terminal;
        execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        Ok(terminal)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = execute!(io::stdout(), cursor::Show, terminal::LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}
