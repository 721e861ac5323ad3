"""A build context is what builders get to see: after both kinds of ignore files, links as links, and nothing else."""

import pytest

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.context import collect_context, refuse_changes, stage_context


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    for name in (
        "Dockerfile",
        "code/train.py",
        "code/__pycache__/x.pyc",
        ".git/HEAD",
        "outputs/1/log",
        "home/backend.lock",
        "dist/a.whl",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def names(context, dockerfile=None):
    return [file.name for file in collect_context(context, dockerfile or context / "Dockerfile").files]


def test_bookkeeping_and_results_stay_out_and_what_git_ignores_stays_in(context):
    (context / ".gitignore").write_text("dist/\n")

    assert names(context) == [".gitignore", "Dockerfile", "code/train.py", "dist/a.whl"]


def test_both_kinds_of_ignore_files_count(context):
    (context / ".dockerignore").write_text("dist\n.*ignore\n")
    (context / "code" / ".flyteignore").write_text("*.py\n!keep.py\n")
    (context / "code" / "keep.py").write_text("")

    assert names(context) == ["Dockerfile", "code/.flyteignore", "code/keep.py"]


def test_an_ignore_file_of_the_dockerfile_wins_over_that_of_the_context(context):
    (context / ".dockerignore").write_text("code\n")
    (context / "Dockerfile.dockerignore").write_text("dist\n*ignore\n")

    assert names(context) == ["Dockerfile", "code/train.py"]


def test_what_is_left_out_by_default_can_be_taken_in(context):
    (context / ".flyteignore").write_text("!.git/\n")

    assert ".git/HEAD" in names(context)


def test_links_stay_links_wherever_they_lead(context):
    (context / "code" / "link").symlink_to("../../nowhere")

    found = {file.name: file.link_target for file in collect_context(context, context / "Dockerfile").files}

    assert found["code/link"] == "../../nowhere"


def test_the_digest_tells_content_names_and_the_right_to_execute(context):
    digests = {collect_context(context, context / "Dockerfile").digest}
    (context / "code" / "train.py").write_text("other")
    digests.add(collect_context(context, context / "Dockerfile").digest)
    (context / "code" / "train.py").chmod(0o755)
    digests.add(collect_context(context, context / "Dockerfile").digest)
    (context / "code" / "train.py").rename(context / "code" / "run.py")
    digests.add(collect_context(context, context / "Dockerfile").digest)

    assert len(digests) == 4


def test_a_copy_holds_exactly_the_files(context, tmp_path):
    (context / "link").symlink_to("code")
    files = collect_context(context, context / "Dockerfile")

    stage_context(files, tmp_path / "copy")

    assert collect_context(tmp_path / "copy", context / "Dockerfile").digest == files.digest
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["Dockerfile", "code", "dist", "link"]


def test_a_file_that_is_written_to_behind_the_copy_is_noticed(context, tmp_path):
    files = collect_context(context, context / "Dockerfile")
    stage_context(files, tmp_path / "copy")
    with (context / "code" / "train.py").open("a") as file:
        file.write("more")

    with pytest.raises(ImageError, match=r"train\.py changed while the image was built"):
        refuse_changes(files, tmp_path / "copy")


def test_a_context_that_is_no_folder_is_refused(context):
    with pytest.raises(ImageError, match=r"Dockerfile is no folder"):
        collect_context(context / "Dockerfile", context / "Dockerfile")
