"""What a person should know, in sentences: the page and the terminal begin with these."""

from __future__ import annotations

from input_pipelines.inspect.inspection import Inspection

# From here on classes are called unequal.
_IMBALANCE = 1.5
# A mean or two of this are told apart by no model; single images of one colour are worth a look.
_FEW = 5


def headline(inspection: Inspection) -> str:
    """Returns what the data set is, in a sentence."""
    counts = inspection.counts
    splits = ", ".join(f"{counts.examples(split):,} {split}" for split in counts.by_split)
    return f"{counts.total:,} images in {len(counts.class_names):,} classes: {splits}."


def findings(inspection: Inspection) -> list[str]:
    """Returns what may do harm, the worst first; empty where nothing was found."""
    return [
        *_about_failures(inspection),
        *_about_duplicates(inspection),
        *inspection.data.notes,
        *_about_classes(inspection),
        *_about_files(inspection),
        *_about_pixels(inspection),
    ]


def _about_failures(inspection: Inspection) -> list[str]:
    count = len(inspection.failures)
    if not count:
        return []
    which = "file cannot" if count == 1 else "files cannot"
    return [f"{count:,} {which} be used: training stops there. Repair or remove."]


def _about_duplicates(inspection: Inspection) -> list[str]:
    groups = inspection.duplicates
    labels = sum(group.different_labels for group in groups)
    splits = sum(group.across_splits for group in groups)
    found = []
    if labels:
        found.append(
            f"{_stand(labels)} in more than one class: one of its labels at least is wrong."
            if labels == 1
            else f"{_stand(labels)} in more than one class: labels are wrong."
        )
    if splits:
        found.append(
            f"{_stand(splits)} in more than one split: what is tested there was trained on."
        )
    if groups:
        surplus = sum(len(group.examples) - 1 for group in groups)
        found.append(
            f"{_groups(len(groups))} of exact duplicates in all, {surplus:,} "
            f"{'example' if surplus == 1 else 'examples'} too many."
        )
    return found


def _about_classes(inspection: Inspection) -> list[str]:
    counts, found = inspection.counts, []
    ratio = counts.imbalance("train")
    if ratio and ratio >= _IMBALANCE:
        of_train = counts.by_split["train"]
        most, least = (counts.class_names[i] for i in (of_train.argmax(), of_train.argmin()))
        found.append(
            f"Classes are unequal: train has {ratio:.3g} times as many of {most} as of {least}. "
            "Read the accuracy of each class; --class_weights=balanced or --balance trains for it."
        )
    return found


def _about_files(inspection: Inspection) -> list[str]:
    scan, found = inspection.scan, []
    if scan is None:
        return found
    if scan.wrong_suffixes:
        found.append(
            f"{_times(len(scan.wrong_suffixes), 'file')} named as another format; training goes "
            "by the content."
        )
    if scan.others:
        suffixes = sorted({path.suffix.lower() or path.name for path in scan.others})
        found.append(
            f"{_times(len(scan.others), 'file')} beside the images and not used "
            f"({_some(suffixes)})."
        )
    return found


def _about_pixels(inspection: Inspection) -> list[str]:
    if inspection.extremes and (count := len(inspection.extremes.blank)):
        return [f"{_times(count, 'image')} of one colour throughout."]
    return []


def _times(count: int, noun: str) -> str:
    """Returns `1 image is` or `3 images are`."""
    return f"1 {noun} is" if count == 1 else f"{count:,} {noun}s are"


def _stand(count: int) -> str:
    return "1 image stands" if count == 1 else f"{count:,} images stand"


def _groups(count: int) -> str:
    return "1 group" if count == 1 else f"{count:,} groups"


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - _FEW:,} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + rest
