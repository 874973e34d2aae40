"""Local weights: what is sampled, how it ends, who shares a batch, and what is said when something is wrong."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import shutil

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from arena.agents.models import build
from arena.agents.models._draw import Drawer, Settings, Stream
from arena.agents.models._padded import PaddedBatch
from arena.agents.models._prefixes import PrefixStore
from arena.agents.models._ragged import RaggedBatch
from arena.agents.models.local import LocalModel, Options, Prompt
from arena.agents.models.tiny import build_tiny_model
from arena.core.errors import BadSpec, ContextOverflow, ModelUnavailable, UsageError
from arena.core.messages import Completion, ImagePart, Message, ReasoningPart, Sampling, TextPart, Tool, ToolCallPart
from arena.core.model import Model

MOVE = Tool(name="move", description="Go somewhere.", parameters={"type": "object", "properties": {"to": {}}})


@pytest.fixture(scope="module")
def model(tiny_model):
    """One loaded model for the tests that do not change it."""
    model = LocalModel(str(tiny_model))
    model.load()
    yield model
    asyncio.run(model.aclose())


def ask(model, *said, **sampling):
    """Answers to conversations of one user message each, all in flight together."""

    async def run():
        asked = Sampling(**{"max_tokens": 12, "seed": 0, **sampling})
        return await asyncio.gather(*(model.complete([Message.of("user", text)], asked) for text in said))

    return asyncio.run(run())


def forward(model, completion):
    """Log-probabilities [n, V] of a fresh full forward pass at the n sampled tokens."""
    ids = torch.tensor([completion.prompt_ids + completion.token_ids])
    with torch.no_grad():
        logits = model.load().network(input_ids=ids).logits.float()
    return logits[0, len(completion.prompt_ids) - 1 : -1]


async def play(model, number, turns=4, **sampling):
    """An episode: each turn continues the one before."""
    answers, after = [], None
    for turn in range(turns):
        messages = [Message.of("user", f"You see {'a wall and ' * (number % 5)}a door. Episode {number}, turn {turn}.")]
        if turn == 0:
            messages.insert(0, Message.of("system", "Play."))
        after = await model.complete(messages, Sampling(max_tokens=5 + number % 4, seed=number, **sampling), (), after)
        answers.append(after)
    return answers


def together(model, numbers, **options):
    async def run():
        return await asyncio.gather(*(play(model, number, **options) for number in numbers))

    return asyncio.run(run())


# what is sampled


def test_it_is_a_model(model, tiny_model):
    assert isinstance(model, Model)
    assert model.traits.token_ids
    assert model.traits.tools
    assert len(model.traits.identity) == 64
    assert build(f"hf:{tiny_model}").traits.identity == build(str(tiny_model)).traits.identity == model.traits.identity


@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": 1.0},
        {"temperature": 0.6},
        {"temperature": 1.3, "top_k": 9},
        {"temperature": 0.9, "top_p": 0.7},
        {"temperature": 1.2, "top_p": 0.8, "top_k": 20},
        {"temperature": 0.0},
    ],
)
def test_log_probabilities_are_those_of_a_fresh_forward_pass(model, sampling):
    """Four turns on cached keys and values, in a batch of uneven neighbours, must agree with encoding all anew."""
    for answers in together(model, range(6), **sampling):
        for turn, answer in enumerate(answers):
            logits = forward(model, answer)
            if sampling["temperature"] == 0:
                expected, kind = logits.log_softmax(-1), "raw"
            else:
                expected, kind = _processed(logits, **sampling), "sampled"
            found = expected[torch.arange(len(answer.token_ids)), list(answer.token_ids)]
            assert (found - torch.tensor(answer.logprobs)).abs().max() < 1e-4
            assert answer.logprob_kind == kind
            assert answer.usage.cached or turn == 0


def _processed(logits, temperature, top_p=1.0, top_k=0):
    """The sampled distribution, written the slow and obvious way."""
    rows = []
    for row in (logits / temperature).double():
        order = row.argsort(descending=True).tolist()
        kept = order[: top_k or len(order)]
        probabilities = row[kept].softmax(-1)
        enough = next(n for n in range(1, len(kept) + 1) if probabilities[:n].sum() >= top_p or n == len(kept))
        masked = torch.full_like(row, -torch.inf)
        masked[kept[:enough]] = row[kept[:enough]]
        rows.append(masked.log_softmax(-1))
    return torch.stack(rows).float()


def test_draws_follow_the_distribution():
    """A wrong inverse would shift probability to neighbouring ids."""
    torch_generator = torch.Generator().manual_seed(1)
    logits = torch.randn(1, 7, generator=torch_generator).expand(4000, 7)
    settings = [Settings(1.0, 1.0, 0, seed, False) for seed in range(4000)]
    drawn, _ = Drawer(settings, torch.device("cpu")).draw(
        logits, [Stream(s.seed, 5).next() for s in settings], [None] * 4000
    )
    frequencies = np.bincount(drawn, minlength=7) / 4000
    assert np.abs(frequencies - logits[0].softmax(-1).numpy()).max() < 0.03


def test_a_stream_depends_on_seed_and_position_only():
    whole = np.random.Generator(np.random.Philox(key=7)).random(20)
    for position in range(15):
        stream = Stream(7, position)
        assert [stream.next() for _ in range(5)] == whole[position : position + 5].tolist()


def test_turns_that_share_a_seed_do_not_repeat_their_draws(model):
    """Position by position along the conversation; otherwise each answer of an episode would begin alike."""
    (answers,) = together(model, [0], turns=3)
    numbers = [Stream(0, len(answer.prompt_ids)).next() for answer in answers]
    assert len(set(numbers)) == 3


def test_the_same_seed_gives_the_same_answer_and_no_seed_gives_a_new_one(model):
    first, second, other = (ask(model, "Hello", seed=seed)[0].token_ids for seed in (3, 3, 4))
    assert first == second != other
    assert ask(model, "Hello", seed=None)[0].token_ids != ask(model, "Hello", seed=None)[0].token_ids


def test_temperature_zero_takes_the_most_probable_token(model):
    (answer,) = ask(model, "Where are you?", temperature=0)
    assert list(answer.token_ids) == forward(model, answer).argmax(-1).tolist()


def test_defaults_come_from_the_model(tiny_model, tmp_path):
    """A field that is left at None follows generation_config.json."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(
        json.dumps(config | {"do_sample": True, "top_k": 1, "max_new_tokens": 3})
    )
    model = LocalModel(str(folder))
    (answer,) = ask(model, "Hello", max_tokens=None)
    assert answer.token_ids == tuple(forward(model, answer).argmax(-1).tolist())
    assert len(answer.token_ids) == 3
    asyncio.run(model.aclose())


# how it ends


def test_length_ends_an_answer(model):
    (answer,) = ask(model, "Hello", max_tokens=4)
    assert (answer.finish, len(answer.token_ids), answer.usage.output) == ("length", 4, 4)


def sample(model, text, forced, *, tools=False, stop=(), **sampling):
    """Answer with forced text, its end of turn included."""
    engine = model.load()
    ids = engine.tokenizer.encode(forced, add_special_tokens=False)
    prompt = engine.encoder.encode([Message.of("user", text)], [MOVE] if tools else [], None)
    asked = Sampling(max_tokens=100, stop=stop, seed=0, **sampling)
    return asyncio.run(model.sample(prompt, asked, tools=tools, forced=[*ids, engine.tokenizer.eos_token_id]))


def test_the_end_of_turn_is_sampled_but_not_part_of_the_text(model):
    answer = sample(model, "Hello", "go north")
    assert (answer.text, answer.finish) == ("go north", "stop")
    assert answer.token_ids[-1] == model.load().tokenizer.eos_token_id


def test_a_stop_string_cuts_the_text_and_keeps_the_ids(model):
    """Even where it spans several tokens; what was sampled is what is trained on."""
    answer = sample(model, "Hello", "Action: go north\nObservation: a door. You win!", stop=("\nObservation:", "zzz"))
    assert (answer.text, answer.finish) == ("Action: go north", "stop")
    assert model.load().tokenizer.decode(answer.token_ids).endswith("\nObservation:")
    assert len(answer.logprobs) == len(answer.token_ids)


def test_incomplete_bytes_at_the_end_become_a_replacement(model):
    engine = model.load()
    first_byte = engine.tokenizer.encode("é", add_special_tokens=False)[:1]
    prompt = Prompt(tuple(engine.tokenizer.encode("x")), 0, False)
    answer = asyncio.run(model.sample(prompt, Sampling(max_tokens=1), forced=first_byte))
    assert answer.text == "�"


def test_a_conversation_that_does_not_fit_is_an_overflow(tiny_model):
    model = LocalModel(str(tiny_model), Options(context=40))
    with pytest.raises(ContextOverflow, match="this model takes 40"):
        ask(model, "word " * 60)
    (answer,) = ask(model, "hi", max_tokens=1000)
    assert len(answer.prompt_ids) + len(answer.token_ids) <= 40
    asyncio.run(model.aclose())


# parts


def test_parallel_tool_calls_are_read(model):
    text = (
        'I go.\n<tool_call>\n{"name": "move", "arguments": {"to":  "north"}}\n</tool_call>\n'
        '<tool_call>{"name": "move", "arguments": {"to": "up"}}</tool_call>'
    )
    answer = sample(model, "Hello", text, tools=True)
    assert answer.finish == "tool_calls"
    assert [type(part) for part in answer.parts] == [TextPart, ToolCallPart, ToolCallPart]
    assert [call.arguments for call in answer.tool_calls] == ['{"to":  "north"}', '{"to": "up"}']
    assert len({call.id for call in answer.tool_calls}) == 2
    assert sample(model, "Hello", text).text == text


@pytest.mark.parametrize("body", ["{}", '{"name": 3}', '{"name": "move", "arguments": {', "[1]", '{"name"'])
def test_a_call_that_cannot_be_read_stays_text(model, body):
    text = f"<tool_call>{body}</tool_call>"
    answer = sample(model, "Hello", text, tools=True)
    assert (answer.text, answer.tool_calls, answer.finish) == (text, (), "stop")


def test_reasoning_is_a_part_of_its_own(model):
    answer = sample(model, "Hello", "<think>a wall, so east</think>\n\ngo east")
    assert answer.parts == (ReasoningPart(text="a wall, so east"), TextPart(text="\n\ngo east"))
    assert 0 < answer.usage.reasoning < answer.usage.output
    unfinished = sample(model, "Hello", "<think>a wall")
    assert unfinished.parts == (ReasoningPart(text="a wall"),)
    assert unfinished.usage.reasoning == unfinished.usage.output


def test_what_a_template_cannot_show_is_refused(model, tmp_path):
    image = Message(role="user", parts=(ImagePart(sha256="0" * 64, width=1, height=1),))
    with pytest.raises(UsageError, match="reads no images"):
        asyncio.run(model.complete([image], Sampling()))
    gemma = LocalModel(str(build_tiny_model(tmp_path / "gemma", template="gemma")))
    assert not gemma.traits.tools
    with pytest.raises(UsageError, match="shows no tools"):
        asyncio.run(gemma.complete([Message.of("user", "hi")], Sampling(), [MOVE]))
    asyncio.run(gemma.aclose())


# who shares a batch


def test_batch_mates_do_not_change_an_answer_under_deterministic(tiny_model):
    """Equal to the last bit, whoever is in flight and whatever came before."""
    model = LocalModel(str(tiny_model), Options(deterministic=True))
    alone = [together(model, [number], turns=2)[0] for number in range(3)]
    crowd = together(model, range(5), turns=2)[:3]
    assert alone == crowd
    asyncio.run(model.aclose())


def test_small_batches_and_little_memory_give_the_same_answers(tiny_model, model):
    """Waiting for a place, being sent back to the queue and losing the cache must not change what is said."""
    expected = together(model, range(8), turns=3)
    for options in (Options(max_batch=2), Options(cache_gb=0.0004), Options(cache_gb=0)):
        narrow = LocalModel(str(tiny_model), options)
        found = together(narrow, range(8), turns=3)
        assert [[a.token_ids for a in e] for e in found] == [[a.token_ids for a in e] for e in expected]
        asyncio.run(narrow.aclose())


def test_a_sequence_that_is_sent_back_goes_on_where_it_was(tiny_model):
    """Both sequences fit when they enter and not when they have grown."""
    model = LocalModel(str(tiny_model), Options(cache_gb=0.0004, context=400))
    crowded = 0
    batch = model.load().sampler._batch

    def count(inner=batch.crowded):
        nonlocal crowded
        crowded += inner()
        return inner()

    batch.crowded = count
    answers = ask(model, "one", "two", "three", max_tokens=150)
    assert crowded
    for answer in answers:
        found = forward(model, answer).log_softmax(-1)[torch.arange(len(answer.token_ids)), list(answer.token_ids)]
        assert (found - torch.tensor(answer.logprobs)).abs().max() < 1e-4
    asyncio.run(model.aclose())


def test_cancelling_one_request_leaves_the_others(model):
    async def run():
        async def one(text, tokens):
            return await model.complete(
                [Message.of("user", text)], Sampling(max_tokens=tokens, seed=1, temperature=1.0)
            )

        expected = await one("stay", 30)
        doomed = asyncio.create_task(one("go", 3000))
        other = asyncio.create_task(one("stay", 30))
        await asyncio.sleep(0.02)
        doomed.cancel()
        found = await other
        with pytest.raises(asyncio.CancelledError):
            await doomed
        # The place is free again.
        assert not (await asyncio.wait_for(one("next", 1), 30)).cached_response
        return expected, found

    expected, found = asyncio.run(run())
    assert found.token_ids == expected.token_ids


def test_it_serves_two_event_loops_at_once(model):
    from concurrent.futures import ThreadPoolExecutor

    expected = [together(model, [number], turns=2) for number in (0, 1)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda number: together(model, [number], turns=2), (0, 1)))
    assert [[a.token_ids for a in e[0]] for e in found] == [[a.token_ids for a in e[0]] for e in expected]


def test_closing_twice_does_nothing_and_cancels_what_is_left(tiny_model):
    async def run():
        model = LocalModel(str(tiny_model))
        long = asyncio.create_task(model.complete([Message.of("user", "hi")], Sampling(max_tokens=4000)))
        await asyncio.to_thread(model.load)
        await asyncio.sleep(0.02)
        await model.aclose()
        await model.aclose()
        with pytest.raises((asyncio.CancelledError, ModelUnavailable)):
            await long
        with pytest.raises(UsageError, match="was closed"):
            await model.complete([Message.of("user", "hi")], Sampling())

    asyncio.run(run())


def test_a_failure_inside_is_an_error_of_the_requests_and_not_the_end(tiny_model):
    """One bad batch must not leave others waiting for ever."""
    model = LocalModel(str(tiny_model))
    batch = model.load().sampler._batch
    working, batch.step = batch.step, lambda tokens: (_ for _ in ()).throw(RuntimeError("out of memory"))
    with pytest.raises(ModelUnavailable, match="out of memory"):
        ask(model, "a", "b")
    batch.step = working
    assert ask(model, "a")[0].token_ids
    asyncio.run(model.aclose())


# versions


def test_new_weights_are_used_at_once_and_named(tiny_model):
    """Keys and values of the old weights would be mixed with the new ones otherwise."""
    model = LocalModel(str(tiny_model))
    (before,) = together(model, [1], turns=1)
    with model.updating("step-1") as network, torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(0.9)
    messages = [Message.of("user", "And now?")]
    after = asyncio.run(model.complete(messages, Sampling(max_tokens=6, seed=0, temperature=1.0), (), before[0]))
    found = forward(model, after).log_softmax(-1)[torch.arange(len(after.token_ids)), list(after.token_ids)]
    assert (found - torch.tensor(after.logprobs)).abs().max() < 1e-4
    assert before[0].policy_version == model.traits.identity[:12]
    assert after.policy_version == model.policy_version == "step-1"
    assert after.usage.cached == 0
    asyncio.run(model.aclose())


def test_an_update_waits_for_answers_in_progress(tiny_model):
    """An answer of two versions has no log-probabilities that mean anything."""

    async def run():
        model = LocalModel(str(tiny_model))
        engine = await asyncio.to_thread(model.load)
        first = asyncio.create_task(model.complete([Message.of("user", "hi")], Sampling(max_tokens=60, seed=2)))
        while not (engine.sampler._active or first.done()):
            await asyncio.sleep(0.001)

        def update():
            with model.updating("step-1"):
                pass

        await asyncio.to_thread(update)
        second = await model.complete([Message.of("user", "hi")], Sampling(max_tokens=2))
        assert ((await first).policy_version, second.policy_version) == (model.traits.identity[:12], "step-1")
        await model.aclose()

    asyncio.run(run())


def test_a_network_in_memory_is_wrapped_as_it_is(model):
    engine = model.load()
    wrapped = LocalModel.of(engine.network, engine.tokenizer, identity="policy")
    assert wrapped.traits.identity == "policy"
    assert ask(wrapped, "Hello")[0].token_ids == ask(model, "Hello")[0].token_ids
    asyncio.run(wrapped.aclose())


# what is kept between turns


def test_only_new_ids_are_encoded(model):
    (answers,) = together(model, [77])
    for before, after in itertools.pairwise(answers):
        assert after.usage.cached == len(before.prompt_ids) + len(before.token_ids) - 1
        assert after.usage.input + after.usage.cached == len(after.prompt_ids)


def test_a_fork_reuses_what_it_shares(model):
    async def run():
        first, *_ = await play(model, 5, turns=3)
        return first, await model.complete([Message.of("user", "Another way.")], Sampling(max_tokens=3), (), first)

    first, fork = asyncio.run(run())
    assert fork.usage.cached >= len(first.prompt_ids) + len(first.token_ids) - 1


def test_the_store_keeps_to_its_limit_and_forgets_the_oldest():
    def tensors(n):
        return [torch.zeros(1, n, 4), torch.zeros(1, n, 4)]

    store = PrefixStore(limit=32 * 130)  # an entry has room for a quarter more
    for start in (0, 1000, 2000):
        store.add(range(start, start + 40), tensors(40))
    assert len(store) == 2
    assert store.find(range(40)) == (None, 0)
    assert store.find([*range(1000, 1030), 7])[1] == 30
    store.add(range(1000, 1060), tensors(60))
    assert len(store) == 2
    assert store.find(range(1000, 1100))[1] == 60
    store.add(range(5000, 5200), tensors(200))
    assert store.find(range(5000, 5200))[1] == 0
    store.clear()
    assert len(store) == 0
    assert store.find(range(1000, 1100)) == (None, 0)


def test_prompts_that_come_together_share_what_they_begin_with(model):
    """The episodes of a group begin alike: that is computed once, and comes out as if each were alone."""
    network = model.load().network
    common = [(7 * n) % 200 + 5 for n in range(40)]
    prompts = [[*common, 9, 8], [*common, 9, 8], [*common[:20], 6], [5, 6, 7], [*common, 9, 9]]
    with torch.inference_mode():
        batch = RaggedBatch(network, PrefixStore(2**20), max_rows=8, context=256, limit=2**30)
        logits, kept = batch.admit(prompts)
        alone = torch.cat([network(input_ids=torch.tensor([prompt])).logits[:, -1] for prompt in prompts])
    assert kept == [0, 41, 20, 0, 41]
    assert (logits - alone).abs().max() < 1e-4


def test_a_long_prompt_is_fed_in_pieces(model):
    """Prompts beyond one forward pass, together with a short one."""
    long, short = ask(model, "a key and a door, " * 400, "hi", max_tokens=3)
    assert len(long.prompt_ids) > 2048
    for answer in (long, short):
        found = forward(model, answer).log_softmax(-1)[torch.arange(3), list(answer.token_ids)]
        assert (found - torch.tensor(answer.logprobs)).abs().max() < 1e-4


# other architectures


@pytest.mark.parametrize("family", ["gemma3", "mamba"])
def test_other_caches_are_encoded_whole_and_the_log_says_so(tiny_model, tmp_path, caplog, family):
    """A sliding window or a recurrent state cannot be cut and joined like plain keys and values."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    common = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "pad_token_id": 0,
        "eos_token_id": 1,
    }
    with torch.random.fork_rng(devices=[]):
        if family == "gemma3":
            heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 64}
            layers = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
            network = transformers.Gemma3ForCausalLM(transformers.Gemma3TextConfig(**common, **heads, **layers))
        else:
            network = transformers.MambaForCausalLM(transformers.MambaConfig(**common, state_size=4))
    network.eval()
    with caplog.at_level(logging.WARNING, "arena.agents.models"):
        model = LocalModel.of(network, tokenizer, identity=family)
        answers = together(model, range(3), turns=2)
    assert isinstance(model.load().sampler._batch, PaddedBatch)
    assert sum("every prompt is encoded whole" in record.message for record in caplog.records) == 1
    for answer in (turn for episode in answers for turn in episode):
        found = forward(model, answer).log_softmax(-1)[torch.arange(len(answer.token_ids)), list(answer.token_ids)]
        assert (found - torch.tensor(answer.logprobs)).abs().max() < 1e-4
        assert answer.usage.cached == 0
    asyncio.run(model.aclose())


@pytest.mark.parametrize("family", ["gpt2", "qwen3"])
def test_other_plain_architectures_use_the_fast_batch(tiny_model, family):
    """Learned positions, and fewer key heads than query heads."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    with torch.random.fork_rng(devices=[]):
        if family == "gpt2":
            config = transformers.GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=256)
            network = transformers.GPT2LMHeadModel(config)
        else:
            sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 16}
            heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
            config = transformers.Qwen3Config(vocab_size=len(tokenizer), **sizes, **heads)
            network = transformers.Qwen3ForCausalLM(config)
    model = LocalModel.of(network.eval(), tokenizer, identity=family)
    assert isinstance(model.load().sampler._batch, RaggedBatch)
    for answer in (turn for episode in together(model, range(3), turns=2) for turn in episode):
        found = forward(model, answer).log_softmax(-1)[torch.arange(len(answer.token_ids)), list(answer.token_ids)]
        assert (found - torch.tensor(answer.logprobs)).abs().max() < 1e-4
    asyncio.run(model.aclose())


# what is said when something is wrong


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda folder: (folder / "chat_template.jinja").unlink(), "no chat template"),
        (lambda folder: (folder / "model.safetensors").unlink(), "holds no weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"torn"), "cannot be loaded"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "tokenizer in .* cannot be loaded"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "unheard_of"}'), "cannot be loaded"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
    ],
)
def test_a_folder_that_lacks_something_is_explained(tiny_model, tmp_path, break_it, said):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    break_it(folder)
    with pytest.raises(UsageError, match=said):
        LocalModel(str(folder)).load()


def test_a_missing_folder_or_name_is_explained(tiny_model, monkeypatch):
    with pytest.raises(UsageError, match=r"There is no model folder .* Did you mean .*tiny"):
        LocalModel(str(tiny_model.parent / "tinny"))
    with pytest.raises(UsageError, match="neither a model folder nor a model of the Hugging Face hub"):
        LocalModel("someone/some-model-that-is-not-here")


def test_a_tokenizer_without_a_pad_token_uses_its_end(tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["pad_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    model = LocalModel(str(folder))
    assert model.load().tokenizer.pad_token == "<|im_end|>"
    assert ask(model, "a", "b" * 20)[0].token_ids


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (",devise=cpu", "Did you mean device"),
        (",dtype=int8", "float32 or bfloat16"),
        (",max_batch=0", "at least 1"),
        (",deterministic=maybe", "true or false"),
    ],
)
def test_an_option_that_cannot_be_read_is_explained(tiny_model, options, said):
    with pytest.raises(BadSpec, match=said):
        build(f"hf:{tiny_model}{options}")


def test_options_that_do_not_fit_are_explained(tiny_model):
    with pytest.raises(UsageError, match="takes between 1 and 4096"):
        LocalModel(str(tiny_model), Options(context=5000)).load()
    with pytest.raises(UsageError, match="device=warp"):
        LocalModel(str(tiny_model), Options(device="warp")).load()


def test_a_spec_rebuilds_the_local_model(tiny_model):
    spec = f"hf:{tiny_model},threads=1,context=512,dtype=bfloat16,deterministic=true"
    assert build(spec).spec == spec
    model = build(spec)
    assert model.load().network.dtype == torch.bfloat16
    assert ask(model, "hi")[0].token_ids == ask(build(spec), "hi")[0].token_ids


def test_an_identity_is_of_everything_that_matters(tiny_model, tmp_path):
    """A changed template or tokenizer is another model: `--resume` must notice."""
    seen = {build(f"hf:{tiny_model}").traits.identity}
    for number, name in enumerate(["chat_template.jinja", "tokenizer.json", "config.json", "model.safetensors"], 2):
        folder = tmp_path / name
        shutil.copytree(tiny_model, folder)
        (folder / name).write_bytes((folder / name).read_bytes() + b" ")
        seen.add(build(f"hf:{folder}").traits.identity)
        assert len(seen) == number


def test_a_continuation_needs_a_conversation(model):
    lost = Completion(parts=(TextPart(text="hi"),), prompt_ids=(1, 2), token_ids=(3,))
    with pytest.raises(UsageError, match="does not know its conversation"):
        asyncio.run(model.complete([Message.of("user", "and?")], Sampling(), (), lost))


def test_building_a_tiny_model_touches_no_global_generator(tmp_path):
    before = torch.random.get_rng_state()
    first, second = (build_tiny_model(tmp_path / name, seed=3) for name in ("a", "b"))
    assert torch.equal(before, torch.random.get_rng_state())
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    with pytest.raises(UsageError, match="no chat template 'chatmel'"):
        build_tiny_model(tmp_path / "c", template="chatmel")
    with pytest.raises(UsageError, match="words or phrases"):
        build_tiny_model(tmp_path / "c", pieces="letters")


def test_phrases_of_the_given_text_are_single_tokens(tmp_path):
    """A turn would cost many more tokens than it has things to tell apart; unseen text would not come back whole."""
    text = ["You are at position 3, 4. There are walls to your left, above you.\n", "move left"]
    folder = build_tiny_model(tmp_path / "phrases", text=text * 20, vocabulary=800, pieces="phrases")
    tokenizer = LocalModel(str(folder)).load().tokenizer

    def tokens(said):
        return [tokenizer.decode([number]) for number in tokenizer.encode(said, add_special_tokens=False)]

    assert tokens("move left") == ["move left"]
    seen = ["You are at position ", "3", ", ", "4", ". ", "There are walls to your left", ", ", "above you", ".\n"]
    assert tokens(text[0]) == seen
    strange = "It's 42 o'clock:  “déjà vu”?\n\n move  left"
    assert tokenizer.decode(tokenizer.encode(strange, add_special_tokens=False)) == strange
