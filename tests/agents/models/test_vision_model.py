"""Local models that read images: what they see decides their answers. Text models are told that they see nothing."""

from __future__ import annotations

import asyncio
import io

import numpy as np
import pytest
from tiny_vision import build_tiny_vision_model

pytest.importorskip("transformers")

from arena.agents.models import build
from arena.agents.models.local import LocalModel
from arena.agents.models.vision import VisionModel
from arena.cli._app import run as typed
from arena.core.errors import BadSpec, ContextOverflow, ModelUnavailable, UsageError
from arena.core.messages import ImagePart, Message, Sampling, TextPart
from arena.core.observation import image_part
from arena.records import Run

GREEDY = Sampling(max_tokens=8, temperature=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, require):
    require("transformers")
    import torch

    torch.set_num_threads(1)
    return build_tiny_vision_model(tmp_path_factory.mktemp("vision") / "model")


@pytest.fixture
def model(folder):
    model = build(f"hf:{folder}")
    yield model
    asyncio.run(model.aclose())


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (40, 64, 3), dtype=np.uint8)


def asked(*seeds, text="What is it?"):
    return Message(role="user", parts=(TextPart(text=text), *(image_part(picture(seed)) for seed in seeds)))


def answer(model, *messages, sampling=GREEDY, after=None):
    return asyncio.run(model.complete(messages, sampling, after=after))


def test_a_folder_with_such_a_model_is_asked_through_its_processor(folder, tiny_model, model):
    """A model that sees would be given text alone, or one that does not would be given images."""
    assert isinstance(model, VisionModel)
    assert (model.traits.images, model.traits.seeded, model.traits.token_ids) == (True, True, False)
    assert len(model.traits.identity) == 64
    assert isinstance(build(f"hf:{tiny_model}"), LocalModel)
    assert not build(f"hf:{tiny_model}").traits.images


def test_the_answer_is_what_transformers_gives_for_these_images(model):
    """Order, number and pixels of the images have to reach the network."""
    from PIL import Image

    answers = {seeds: answer(model, asked(*seeds)).text for seeds in [(), (1,), (2,), (1, 2), (2, 1)]}
    assert len(set(answers.values())) == 5, "other images, the same words"
    loaded = model.load()
    processor = loaded.encoder._processor
    for seeds, text in answers.items():
        images = [{"type": "image", "image": Image.fromarray(picture(seed))} for seed in seeds]
        said = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *images]}]
        fed = processor.apply_chat_template(
            said, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        ids = loaded.network.generate(**fed, max_new_tokens=8, do_sample=False)[0, fed["input_ids"].shape[1] :]
        assert loaded.encoder.decode(ids.tolist()) == text


def test_seeds_decide_what_is_drawn_and_others_in_flight_do_not(model):
    async def together():
        asked_for = [Sampling(max_tokens=8, temperature=1.5, seed=seed) for seed in (1, 2, 1)]
        return await asyncio.gather(*(model.complete([asked(3)], sampling) for sampling in asked_for))

    first, second, third = asyncio.run(together())
    assert first.text == third.text != second.text
    assert first.finish == "length"
    assert (first.usage.output, first.usage.cached) == (8, 0)
    assert first.prompt_ids is first.token_ids is first.logprobs is None


def test_a_conversation_goes_on_with_all_that_was_seen(model):
    """An agent that shows one screen after the other would be answered about the last alone."""
    before = answer(model, Message.of("system", "You look at pages."), asked(1))
    there = answer(model, asked(2), after=before)
    assert len(there.history) == 5
    whole = answer(model, *before.history, asked(2))
    assert whole.text == there.text
    assert answer(model, Message.of("system", "You look at pages."), asked(2)).usage.input < there.usage.input


def test_answers_end_at_stop_strings_and_prompts_have_to_fit(model, folder):
    text = answer(model, asked(1)).text
    cut = answer(model, asked(1), sampling=GREEDY.model_copy(update={"stop": (text[3:5],)}))
    assert cut.text == text[:3]
    assert cut.finish == "stop"
    narrow = build(f"hf:{folder},context=40")
    with pytest.raises(ContextOverflow, match="40 with the answer"):
        answer(narrow, asked(1, text="So many words that there is no room for anything else, and then some more."))
    asyncio.run(narrow.aclose())


def test_what_is_given_up_or_closed_is_not_computed_to_its_end(folder):
    """A run that is stopped would wait for minutes of answers that nobody reads."""
    model = build(f"hf:{folder}")
    endless = Sampling(temperature=1.0, seed=1, stop=("never said",))

    async def stopped():
        model.load()
        answering = asyncio.ensure_future(model.complete([asked(1)], endless))
        await asyncio.sleep(0.05)
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        assert (await model.complete([asked(1)], GREEDY)).usage.output == 8
        await model.aclose()
        await model.aclose()
        with pytest.raises(ModelUnavailable, match="was closed"):
            await model.complete([asked(1)], GREEDY)

    asyncio.run(stopped())


def test_options_that_do_not_fit_are_refused_in_words(folder, tiny_model):
    with pytest.raises(UsageError, match="reads no images"):
        build(f"hf:{tiny_model},images=true")
    with pytest.raises(BadSpec, match="critic"):
        build(f"hf:{folder},critic=runs/ilql")
    with pytest.raises(UsageError, match="reads images, and transformers has no language model"):
        build(f"hf:{folder},images=false").load()
    bare = ImagePart(sha256="0" * 64, width=1, height=1)
    with pytest.raises(UsageError, match="has no bytes"):
        answer(build(f"hf:{folder}"), Message(role="user", parts=(bare,)))


def test_training_on_images_is_refused_before_anything_is_sampled(folder):
    from arena.trainers._policy import Policy

    with pytest.raises(UsageError, match="neither trained"):
        Policy.load(folder)


@pytest.mark.parametrize("agent", ["chat", "react"])
def test_agents_hand_screenshots_on_and_drop_them_for_text_models(agent, folder, tiny_model, require, tmp_path):
    """`arena eval` on pages with screenshots, with a model that sees and with one that does not."""
    require("playwright")
    require("chromium")
    from PIL import Image

    told = {}
    for name, place in (("sees", folder), ("reads", tiny_model)):
        out = tmp_path / name
        options = ["-m", f"hf:{place}", "-n", "1", "--set", "params.screenshot=true", "--limit", "turns=2"]
        assert (
            typed(["eval", "arena/Browser-v0", "-a", f"{agent}:max_tokens=6,retries=0", *options, "-o", str(out)]) == 0
        )
        with Run(out) as run:
            [episode] = run.episodes()
            told[name] = episode
            image = next(part for part in episode.turns[0].observation if isinstance(part, ImagePart))
            with Image.open(io.BytesIO(run.blob(image))) as shown:
                assert shown.size == (image.width, image.height) == (1280, 720)
    prompts = {name: [part for message in one.messages for part in message.parts] for name, one in told.items()}
    assert any(isinstance(part, ImagePart) for part in prompts["sees"])
    assert not any(isinstance(part, ImagePart) for part in prompts["reads"])
    assert not any("image dropped" in " ".join(turn.notes) for turn in told["sees"].turns)
    assert all("image dropped" in " ".join(turn.notes) for turn in told["reads"].turns)
    assert "You cannot see images" in "".join(p.text for p in prompts["reads"] if isinstance(p, TextPart))
