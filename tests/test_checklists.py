"""Checklists are whole, name their source, and ask where files are silent."""

import pytest

from common import checklists


@pytest.mark.parametrize(("name", "count"), [("tripod_ai", 27), ("claim", 44)])
def test_a_checklist_has_all_its_items_in_order(name, count):
    found = checklists.checklist(name)
    assert [item.number for item in found.items] == [str(i + 1) for i in range(count)]
    assert found.doi.startswith("10.") and str(found.year) in found.source
    titles = [item.title for item in found.items]
    assert len(set(titles)) == count
    for item in found.items:
        assert item.ask.endswith("?")
        assert set(item.needs) <= set(checklists.FACTS), item.number
    assert sum(not item.needs for item in found.items) > count / 2  # most have to be asked


def test_every_fact_is_needed_by_an_item():
    items = [i for name in checklists.CHECKLISTS for i in checklists.checklist(name).items]
    assert {need for item in items for need in item.needs} == set(checklists.FACTS)


def test_an_item_is_seen_with_all_that_it_needs():
    item = checklists.Item("1", "s", "t", "a?", ("split", "test part"))
    assert checklists.seen(item, {"split": "a split"}) is None
    assert checklists.seen(item, {"split": "a split", "test part": "9 images"}) == (
        "a split; 9 images"
    )
    assert checklists.seen(checklists.Item("1", "s", "t", "a?"), {"split": "a split"}) is None


def test_an_unknown_checklist_is_named():
    with pytest.raises(ValueError, match="no checklist 'strobe'; there are tripod_ai, claim"):
        checklists.checklist("strobe")
