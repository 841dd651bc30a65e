"""Pages: escaped, whole, without the network."""

from __future__ import annotations

import jinja2
import pytest

from flowrate.pages.drawing import INK, Picture, new_figure
from flowrate.pages.page import page_environment, png_address


def picture(name: str = "one") -> Picture:
    def draw():
        figure = new_figure(100, 200)
        figure.text(0.5, 0.5, "<b>$x_1$", color=INK)
        return figure

    return Picture(name=name, title="A <title>", note="", description='"quoted" & <b>', make=draw)


@pytest.fixture
def render(tmp_path):
    def render(template: str, **values) -> str:
        (tmp_path / "page").write_text(
            '{% extends "page.html.jinja" %}{% from "pictures.html.jinja" import figure_of %}'
            "{% block title %}t{% endblock %}{% block body %}" + template + "{% endblock %}"
        )
        return page_environment(tmp_path).get_template("page").render(values)

    return render


def test_what_is_put_in_is_escaped(render):
    text = render("{{ name }}", name="<script>")
    assert "&lt;script&gt;" in text
    assert "<script>" not in text


def test_a_name_that_is_missing_is_an_error(render):
    with pytest.raises(jinja2.UndefinedError):
        render("{{ nothing }}")


def test_flags_are_not_broken_over_lines(render):
    text = render("{{ s | flags_as_code }}", s="use --weight_decay=0.1, or <b>")
    assert "use <code>--weight_decay=0.1</code>, or &lt;b&gt;" in text


def test_a_picture_on_a_page(render):
    text = render("{{ figure_of(p) }}", p=picture())
    assert 'style="max-width: 200px"' in text
    assert "A &lt;title&gt;" in text
    assert 'aria-label="&quot;quoted&quot; &amp; &lt;b&gt;"' in text
    assert f"var(--ink, {INK})" in text
    assert "&lt;b&gt;$x_1$" in text


def test_a_picture_is_the_same_each_time():
    assert picture().svg() == picture().svg()
    assert picture().png() == picture().png()
    assert picture().png().startswith(b"\x89PNG")
    assert png_address(b"\x89PNG") == "data:image/png;base64,iVBORw=="
