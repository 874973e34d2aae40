"""Agents are built from one line of text, and say the line that rebuilds them."""

from __future__ import annotations

import json
import sys

import pytest
from deterministic_model import FixedModel

from arena.agents import build
from arena.core.agent import Agent, Brief, Session
from arena.core.errors import BadSpec, UnknownName, UsageError
from arena.core.model import Model, Traits
from arena.core.registry import AGENTS
from arena.core.specs import Spec


async def _nothing() -> list[str]:
    return ["look"]


async def _solution() -> str:
    return "look"


@pytest.mark.parametrize(
    "spec",
    [
        "random",
        "oracle",
        "idle",
        "human",
        "scripted:text=look",
        'scripted:actions=["look", "go north, slowly"]',
        "replaying:actions=[]",
        "chat",
        "chat:window=0",
        "chat:tools=true,retries=0,temperature=0.7",
        'chat:top_p=0.9,top_k=20,max_tokens=64,stop=["\\n", "a, b"],logprobs=true',
        "react",
        "react:window=2,retries=1",
        "react:system=chat.j2",
    ],
)
def test_the_spec_rebuilds_the_agent(spec):
    """A resumed run, or a worker process, would use another agent than the one recorded."""
    agent = build(spec, FixedModel([]))
    assert agent.spec == spec
    again = build(agent.spec, FixedModel([]))
    assert type(again) is type(agent)
    assert again.spec == spec
    assert build(Spec.parse(spec), FixedModel([])).spec == spec
    assert isinstance(agent, Agent)


@pytest.mark.parametrize(
    ("written", "resolved"),
    [
        ("chat:window=null", "chat"),
        ("chat:retries=1,tools=false", "chat"),
        ("chat:stop=User:", 'chat:stop=["User:"]'),
        ("chat:temperature=1", "chat:temperature=1.0"),
        ("scripted:text=42", 'scripted:text="42"'),
    ],
)
def test_equal_agents_have_equal_specs(written, resolved):
    """Resuming would be refused over a difference in spelling."""
    assert build(written, FixedModel([])).spec == resolved


def test_every_registered_agent_starts(tmp_path):
    """A name in `arena list` would not lead to an agent."""
    brief = Brief("Rules.", legal_actions=_nothing, oracle=_solution)
    needed = {"scripted": ":text=x", "replaying": ":actions=[]"}
    for name in ("random", "oracle", "idle", "scripted", "replaying", "chat", "react"):
        assert name in AGENTS.names()
        agent = build(name + needed.get(name, ""), FixedModel([]))
        assert isinstance(agent.start(brief, 1), Session)
    assert isinstance(FixedModel([]), Model)


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("chta", UnknownName, "Did you mean 'chat'"),
        ("./chat", UnknownName, "no agent called './chat'"),
        ("chat:windw=2", BadSpec, "has no option 'windw'. Did you mean 'window'? Its options are window, tools"),
        ("random:n=2", BadSpec, "The agent random has no option 'n'. It takes none"),
        ("human:read=1", BadSpec, "has no option 'read'"),
        ("chat:model=x", BadSpec, "has no option 'model'"),
        ("chat:window=two", BadSpec, "window of the agent chat takes a whole number or null, not 'two'"),
        ("chat:window=true", BadSpec, "takes a whole number or null, not True"),
        ("chat:tools=1", BadSpec, "takes true or false, not 1"),
        ("scripted:text=1.50", BadSpec, "takes text or null, not 1.5"),
        ("chat:window=-1", UsageError, "window must be 0 or more"),
        ("chat:top_p=2", UsageError, "top_p: Input should be less than or equal to 1"),
        ("chat:gpt", BadSpec, "'gpt' in the agent spec 'chat:gpt' is not key=value"),
        ("chat:x@http://127.0.0.1/", BadSpec, "has a URL"),
        ("scripted", UsageError, "either actions=FILE or text=ACTION"),
        ("scripted:actions=no_such_file.json", UsageError, "no_such_file.json"),
        ("no_such_module:Greedy", UnknownName, "Nor is there a module 'no_such_module'"),
        ("json:Greedy", UnknownName, "no class in the module json called 'Greedy'"),
        ("collections:OrderedDict", UsageError, "a class with a method start"),
    ],
)
def test_what_cannot_be_built_says_why(spec, error, says):
    """A typing error would end in a traceback, or in an agent that ignores an option."""
    with pytest.raises(error) as caught:
        build(spec, FixedModel([]))
    assert says in str(caught.value)


@pytest.mark.parametrize("spec", ["chat", "react:window=2"])
def test_a_missing_model_is_named(spec):
    """A newcomer would not know that -m is missing."""
    with pytest.raises(UsageError, match=r"needs a model. Name one with -m"):
        build(spec)


def test_tools_need_a_model_that_calls_them():
    """The model would be sent schemas that its server refuses."""
    with pytest.raises(UsageError, match=r"fixed does not call tools. Leave tools=true out"):
        build("chat:tools=true", FixedModel([], traits=Traits("fixed")))


@pytest.fixture
def own_agents(tmp_path, monkeypatch):
    package = tmp_path / "own_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "agents.py").write_text(
        "class Greedy:\n"
        "    def __init__(self, n: int = 1, *, name='x'):\n"
        "        self.n, self.name = n, name\n"
        "    def start(self, brief, seed): ...\n"
        "class Asking:\n"
        "    spec = 'own'\n"
        "    def __init__(self, model: 'Unimported', depth: int = 2): self.model, self.depth = model, depth\n"
        "    def start(self, brief, seed): ...\n"
    )
    (tmp_path / "own_broken.py").write_text("import a_package_that_is_missing\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("own_agents")
def test_a_class_of_ones_own_is_an_agent():
    """A user's agent could not be named on the command line."""
    agent = build("own_package.agents:Greedy,n=3,name=y")
    assert (agent.n, agent.name, agent.spec) == (3, "y", "own_package.agents:Greedy,n=3,name=y")
    model = FixedModel([])
    asking = build("own_package.agents:Asking,depth=5", model)
    assert (asking.model, asking.depth, asking.spec) == (model, 5, "own")
    with pytest.raises(BadSpec, match="Its options are n, name"):
        build("own_package.agents:Greedy,m=3")
    with pytest.raises(UsageError, match="needs a model"):
        build("own_package.agents:Asking")


def test_the_working_folder_is_searched(tmp_path, monkeypatch):
    """`arena eval … -a my_agents:Greedy` would not find the file beside the person."""
    (tmp_path / "agents_beside_me.py").write_text("class Greedy:\n    def start(self, brief, seed): ...\n")
    monkeypatch.setattr("sys.path", [folder for folder in sys.path if folder])
    monkeypatch.chdir(tmp_path)
    assert build("agents_beside_me:Greedy").spec == "agents_beside_me:Greedy"
    assert sys.path[-1] == str(tmp_path)


@pytest.mark.usefixtures("own_agents")
def test_a_broken_module_says_what_it_lacks():
    """A missing package inside a user's module would read as a missing module."""
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_missing"):
        build("own_broken:Greedy")
    with pytest.raises(UnknownName, match=r"own_package\.agnts"):
        build("own_package.agnts:Greedy")


def test_the_prompt_hash_follows_the_text_of_the_templates(tmp_path):
    """A run could be resumed with other words in the same file."""
    file = tmp_path / "mine.j2"
    file.write_text("Do this: {{ instructions }}")
    spec = f"chat:system={json.dumps(str(file))}"
    before = build(spec, FixedModel([])).prompt_hash
    assert build(spec, FixedModel([])).prompt_hash == before
    file.write_text("Do that: {{ instructions }}")
    assert build(spec, FixedModel([])).prompt_hash != before
    hashes = {build(spec, FixedModel([])).prompt_hash for spec in ("chat", "react", "chat:window=1", "react:window=1")}
    assert len(hashes) == 4
