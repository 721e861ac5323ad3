"""`.dockerignore` leaves out what Docker's own matcher leaves out (cases of moby's patternmatcher)."""

import pytest

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.dockerignore import parse_docker_ignore


@pytest.mark.parametrize(
    ("lines", "name", "expected"),
    [
        (["**"], "file", True),
        (["**"], "dir/file", True),
        (["**/"], "dir/file", True),
        (["**/**"], "dir/file", True),
        (["dir/**"], "dir/file", True),
        (["dir/**"], "dir/dir2/file", True),
        (["dir/**"], "dirx/file", False),
        (["**/dir"], "dir", True),
        (["**/dir"], "a/b/dir/file", True),
        (["**/dir2/*"], "dir/dir2/file", True),
        (["**/dir2/**"], "dir/dir2/dir2/file", True),
        (["**file"], "file", True),
        (["**file"], "dir/file", True),
        (["**/file"], "dir/file", True),
        (["**/*.txt"], "dir/file.txt", True),
        (["**/*.txt"], "dir/file.py", False),
        (["a**/*.txt"], "a/file.txt", True),
        (["a**/*.txt"], "a/dir/dir/file.txt", True),
        (["a[b-d]e"], "ace", True),
        (["a[b-d]e"], "aae", False),
        (["a[^b]e"], "ace", True),
        (["a?c"], "abc", True),
        (["a?c"], "a/c", False),
        (["*.txt"], "dir/file.txt", False),
        (["/file"], "file", True),
        (["./dir/"], "dir/file", True),
        (["dir/../file"], "file", True),
        ([".*"], ".foo", True),
        ([".*"], "foo", False),
        (["abc.def"], "abcZdef", False),
        (["\\*name"], "*name", True),
        (["# comment", "", "dir"], "dir/file", True),
        (["*", "!file"], "file", False),
        (["dir", "!dir/keep"], "dir/keep", False),
        (["dir", "!dir/keep"], "dir/other", True),
        (["!file", "*"], "file", True),
        (["*", "!dir", "dir/secret"], "dir/secret", True),
    ],
)
def test_the_last_line_that_matches_decides(lines, name, expected):
    assert parse_docker_ignore(lines).leaves_out(name) is expected


def test_a_pattern_that_cannot_be_one_is_named():
    with pytest.raises(ImageError, match=r"The line '\[z-a\]' of \.dockerignore is no pattern"):
        parse_docker_ignore(["[z-a]"])
