"""Every key of the screen, once. Bindings, footer, help and command palette are all read from this list."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from textual.binding import Binding, BindingType

from ..sources.source import Source
from ..study.snapshot import Snapshot
from ..study.state import State
from ..view.words import state_sentence

LIST = "studies"
STUDY = "study"
# What a key can need of the study. Only a study with a desk has an engine to ask or can be resumed.
ENGINE = "engine"  # an engine runs it
RESUMABLE = "resumable"  # no engine runs it, and there is something left to do
FILES = "files"  # logs are kept


@dataclass(frozen=True)
class Key:
    """One act. `keys` is comma-separated as in Textual; `shown` is how a person names them."""

    id: str
    keys: str
    shown: str
    label: str  # one word for the footer
    tooltip: str  # a sentence for help and palette
    places: tuple[str, ...]
    action: str = ""  # defaults to the id
    footer: bool = True
    heading: str = "Move"  # where help lists it
    needs: str = ""  # ENGINE, RESUMABLE, FILES: the footer names it only while the study has that

    @property
    def act(self) -> str:
        """The screen's action."""
        return self.action or self.id

    def binding(self) -> Binding:
        """The key as Textual binds it."""
        return Binding(
            self.keys,
            self.act,
            self.label,
            key_display=self.shown,
            tooltip=self.tooltip,
            id=self.id,
            show=self.footer,
        )


_plot_key = partial(Key, places=(STUDY,), heading="Plots", footer=False)

# In the order of the footer: what does not fit there is dropped from the end, but never the last, help.
KEYS: tuple[Key, ...] = (
    Key("attach", "enter", "⏎", "open", "Open the study", (LIST,)),
    Key("new", "n", "n", "new", "Start a new study", (LIST,), heading="Sweep"),
    Key("list_next", "down,j", "↓ j", "next", "Next study", (LIST,), "move(1)", footer=False),
    Key("list_previous", "up,k", "↑ k", "previous", "Previous study", (LIST,), "move(-1)", footer=False),
    Key("next", "down,j", "↓ j", "next", "Next trial", (STUDY,), "move(1)", footer=False),
    Key("previous", "up,k", "↑ k", "previous", "Previous trial", (STUDY,), "move(-1)", footer=False),
    Key("page_down", "pagedown,ctrl+d", "pgdn", "page", "A page down", (LIST, STUDY), "page(1)", footer=False),
    Key("page_up", "pageup,ctrl+u", "pgup", "page", "A page up", (LIST, STUDY), "page(-1)", footer=False),
    Key("first", "g,home", "g", "first", "First row", (LIST, STUDY), footer=False),
    Key("last", "G,end", "G", "last", "Last row", (LIST, STUDY), footer=False),
    Key("left", "left", "←", "left", "Columns before; the plot before", (STUDY,), "columns(-1)", footer=False),
    Key("right", "right", "→", "right", "Further columns; the next plot", (STUDY,), "columns(1)", footer=False),
    Key("next_pane", "tab", "tab", "pane", "Next pane", (STUDY,)),
    Key("previous_pane", "shift+tab", "⇧tab", "pane back", "Previous pane", (STUDY,), footer=False),
    Key("detail", "enter", "⏎", "detail", "Show the selected trial", (STUDY,)),
    Key("finding", "v", "v", "view", "The next view: plots, crash bias, best", (STUDY,), heading="Plots"),
    _plot_key("maximise", "m", "m", "maximise", "One plot alone, or all; ← → turn to the next"),
    _plot_key("y_axis", "y", "y", "y axis", "Loss axis: above the best, by rank, linear, log"),
    _plot_key("x_axis", "X", "X", "x axis", "Other axes: linear, log, as searched"),
    _plot_key("measurement", "Y", "Y", "y of", "Another measurement as the y axis"),
    _plot_key("trend", "t", "t", "medians", "Medians over the points; the best near each value"),
    _plot_key("arrange", "a", "a", "arrange", "Plots by file, crash bias, effect"),
    _plot_key("side", "w", "w", "wide", "Hide the trials and the detail, or show them"),
    _plot_key("pixels", "i", "i", "pixels", "The plots as pixels, in terminals that can (sixel, kitty)"),
    Key("best", "b", "b", "best", "Jump to the best trial", (STUDY,)),
    Key("overview", "o", "o", "overview", "Select no trial: the study as a whole", (STUDY,), footer=False),
    Key("filter", "slash", "/", "filter", "Show only some trials: lr < 1e-3 and failed", (STUDY,), heading="List"),
    Key(
        "show", "f", "f", "failed", "Failed trials only, running ones only, all", (STUDY,), heading="List",
        footer=False,
    ),
    Key(
        "mark", "space", "spc", "mark", "Mark the trial, to be compared", (STUDY,), heading="List", footer=False
    ),
    Key("compare", "c", "c", "compare", "Marked trials side by side, or with the best", (STUDY,), heading="List"),
    Key("copy", "C", "C", "copy", "Copy its parameters as --set options", (STUDY,), heading="List", footer=False),
    Key(
        "next_failure", "n", "n", "failure", "The next kind of failure: its first trial", (STUDY,), heading="List",
        footer=False,
    ),
    Key("sort", "s", "s", "sort", "By number, best first, by reason", (STUDY,), heading="List"),
    Key(
        "log", "l", "l", "log", "Log and traceback; the engine's log", (STUDY,), heading="List", needs=FILES
    ),
    Key(
        "resume", "r", "r", "resume", "Go on with an interrupted or stopped study", (LIST, STUDY),
        heading="Sweep", needs=RESUMABLE,
    ),
    Key("stop", "x", "x", "stop", "Stop the sweep (asks first)", (STUDY,), heading="Sweep", needs=ENGINE),
    Key("detach", "q", "q", "detach", "Leave the screen; sweeps go on", (STUDY,), heading="Leave"),
    Key("quit_list", "q", "q", "quit", "Leave the screen; sweeps go on", (LIST,), "detach", heading="Leave"),
    Key("back", "escape", "esc", "studies", "Back to the list of studies", (STUDY,), heading="Leave"),
    Key("pause", "p", "p", "pause", "Start no new trials, or go on", (STUDY,), heading="Sweep", needs=ENGINE),
    Key("add_trials", "plus", "+", "add", "Add trials to the plan", (STUDY,), heading="Sweep", needs=ENGINE),
    Key(
        "kill_trial", "K", "K", "kill", "Stop the selected trial (asks first)", (STUDY,),
        heading="Sweep", needs=ENGINE,
    ),
    Key(
        "edit", "e", "e", "edit", "Change the space, the plan, how many run at once", (STUDY,),
        heading="Sweep", needs=ENGINE,
    ),
    Key(
        "rerun", "R", "R", "again", "Run the marked trials again, or the selected one", (STUDY,),
        heading="Sweep", needs=ENGINE,
    ),
    Key(
        "narrow", "z", "z", "narrow", "The next search, from the filter or the best trials", (STUDY,),
        heading="Sweep", footer=False,
    ),
    Key(
        "list_filter", "slash", "/", "filter", "Studies with this in their name or state", (LIST,), "filter",
        heading="List",
    ),
    Key("duplicate", "d", "d", "duplicate", "A new study like this one, edited first", (LIST,), heading="Sweep"),
    Key("delete", "D", "D", "delete", "Delete the study with its files (asks first)", (LIST,), heading="Sweep"),
    Key("help", "question_mark,f1", "?", "help", "All keys and signs", (LIST, STUDY), heading="Leave"),
)  # fmt: skip


def keys_for(place: str, possible: Collection[str] | None = None) -> tuple[Key, ...]:
    """The keys of the screen at `place`; without those that need what is not `possible` (None: all is)."""
    return tuple(
        key
        for key in KEYS
        if place in key.places and (possible is None or not key.needs or key.needs in possible)
    )


def possible_for(source: Source) -> frozenset[str]:
    """What the keys of a study can ever need and get, however it stands."""
    desk = {ENGINE, RESUMABLE} if source.desk is not None else set()
    return frozenset(desk | ({FILES} if source.files is not None else set()))


def advice(state: State, snapshot: Snapshot) -> str:
    """What a state means, and which key does something about it; "" where nothing needs saying."""
    hint = {
        State.INTERRUPTED: "press r to resume",
        State.STOPPED: "press r to go on",
        State.FAILED: "r tries again",
        State.EMPTY: "l shows what one said",
    }.get(state, "")
    if state is State.RUNNING and snapshot.paused and not snapshot.stopping:
        hint = "press p to go on"
    return "; ".join(part for part in (state_sentence(state, snapshot), hint) if part)


def bindings(place: str) -> list[BindingType]:
    """The bindings of the screen at `place`, ready for its BINDINGS."""
    return [key.binding() for key in keys_for(place)]
