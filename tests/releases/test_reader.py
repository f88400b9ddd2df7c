"""The reader of releases: ours and the files of 2021, over folders and object stores."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.engine.step import Context, release_path
from pipelines.errors import ReleaseError
from pipelines.releases.reader import Release, open_release
from pipelines.releases.verify import verify_release
from pipelines.storage.refusals import StoreRefused, StoreUnreachable
from pipelines.storage.store import Store
from tests.private_server import private_server
from tests.s3 import s3_server
from tests.shared import shared
from tests.web import web_server


def url_of(published: Context) -> str:
    return published.store.locate(release_path(published.version, "manifest.json")).rpartition("/")[0]


@pytest.fixture
def release(published: Context) -> Release:
    return open_release(url_of(published))


@pytest.fixture
def release_of_2021(tmp_path: Path) -> Release:
    """Files of the 2021 release, in its folders."""
    for folder, name in (
        ("image_pixels", "train_image_pixels.csv.gz"),
        ("resnet_embeddings", "train_resnet_embeddings.csv.gz"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "part-00000-5a5c46b2-c000.csv.gz").symlink_to(shared(f"release-2021/{name}"))
    return open_release(str(tmp_path), published=False)


def check_images(release: Release, most_width: int) -> set[str]:
    urls = set()
    for image in release.images():
        urls.add(image.url)
        assert image.url.split("/")[2] == "upload.wikimedia.org"
        assert "commons.wikimedia.org/wiki/File:" in image.page
        with Image.open(io.BytesIO(image.picture)) as opened:
            assert 0 < opened.width <= most_width
            opened.load()
    return urls


def check_embeddings(release: Release) -> set[str]:
    urls = set()
    for url, embedding in release.embeddings():
        urls.add(url)
        assert embedding.shape == (2048,)
        assert embedding.dtype == np.float32
        assert embedding.min() >= 0
        assert np.isfinite(embedding).all()
    return urls


def test_one_reader_reads_our_files(release: Release) -> None:
    released = release.manifest["counts"]["outcomes"]["released"]
    assert released > 0
    urls = check_images(release, most_width=300)
    assert len(urls) == released
    assert check_embeddings(release) == urls


def test_the_same_reader_reads_the_files_of_2021(release_of_2021: Release) -> None:
    urls = check_images(release_of_2021, most_width=300)
    assert len(urls) == 3
    assert check_embeddings(release_of_2021) == urls


def test_the_published_vector_reads_back_to_its_numbers(release_of_2021: Release) -> None:
    """Our text of float32 and 2021's text of doubles give the same numbers."""
    _, _, numbers = shared("release-2021/golden_Dodge_Challenger_resnet50.csv").read_text().strip().rpartition("\t")
    golden = np.array([float(number) for number in numbers.split(",")], np.float32)
    _, embedding = next(release_of_2021.embeddings())
    assert (embedding == golden).all()


def test_rows_join_pictures_embeddings_and_captions(release: Release) -> None:
    rows = list(release.rows())
    assert [row.url for row in rows] == [image.url for image in release.images()]
    embeddings = dict(release.embeddings())
    for row in rows:
        assert (row.embedding == embeddings[row.url]).all()
        assert row.captions
        assert {caption["image_url"] for caption in row.captions} == {row.url}


def test_captions_by_language(release: Release) -> None:
    everything = list(release.captions())
    dutch = list(release.captions(["nl"]))
    assert 0 < len(dutch) < len(everything)
    assert dutch == [row for row in everything if row["language"] == "nl"]
    rows = list(release.rows(["nl"]))
    assert {row.url for row in rows} == {row["image_url"] for row in dutch}
    assert {caption["language"] for row in rows for caption in row.captions} == {"nl"}


def test_removals_say_why(release: Release) -> None:
    removals = list(release.removals())
    outcomes = {row["outcome"] for row in removals}
    assert outcomes == {"deletion_candidate", "missing"}
    assert all(row["detail"] for row in removals)
    assert len(list(release.ledger())) == sum(release.manifest["counts"]["outcomes"].values())


def test_it_reads_lazily(release: Release, published: Context) -> None:
    """The first picture comes without reading the last shard, which is not even there."""
    images = release.images()
    first = next(images)
    assert first.picture
    assert isinstance(images, Iterator)


def test_a_damaged_shard_is_named(published: Context, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(url_of(published), tmp_path / "release"))
    shard = max((copy / "image_pixels").iterdir(), key=lambda path: path.stat().st_size)
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(ReleaseError, match=shard.name):
        list(open_release(str(copy)).images())


@pytest.mark.parametrize("folder", ["image_pixels", "resnet_embeddings", "captions", "ledger"])
def test_a_copy_that_lacks_a_shard_is_no_smaller_release(published: Context, tmp_path: Path, folder: str) -> None:
    copy = Path(shutil.copytree(url_of(published), tmp_path / "release"))
    shutil.rmtree(copy / folder)
    read = {
        "image_pixels": Release.images,
        "resnet_embeddings": Release.embeddings,
        "captions": Release.captions,
        "ledger": Release.ledger,
    }[folder]
    with pytest.raises(ReleaseError, match=rf"{folder}/part-00000\S+ is not there, .*verify.*sync"):
        list(read(open_release(str(copy))))
    assert list(read(open_release(str(copy), published=False))) == []


def test_an_unfinished_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"no finished release: it has no manifest\.json"):
        open_release(str(tmp_path))


@pytest.fixture
def release_on_s3(published: Context, tmp_path: Path) -> Iterator[str]:
    """Put a copy of the release into an object store on loopback."""
    with s3_server() as bucket:
        store = Store(f"{bucket}/{tmp_path.name}")
        for path in published.store.files(f"releases/{published.version}"):
            with published.store.open(path) as source, store.write(path.split("/", 2)[2]) as written:
                shutil.copyfileobj(source, written.file)
        yield store.url


def test_it_reads_the_same_from_an_object_store(release_on_s3: str, release: Release) -> None:
    remote = open_release(release_on_s3)
    assert remote.manifest == release.manifest
    for far, near in zip(remote.rows(), release.rows(), strict=True):
        assert (far.url, far.picture, far.captions) == (near.url, near.picture, near.captions)
        assert (far.embedding == near.embedding).all()
    assert list(remote.removals()) == list(release.removals())


def test_a_release_in_an_object_store_is_verified_there(release_on_s3: str) -> None:
    assert list(verify_release(release_on_s3)) == []
    Store(release_on_s3).write_text("README.md", "something else")
    assert [problem.split(",")[0] for problem in verify_release(release_on_s3)] == ["README.md: changed"]


@pytest.fixture
def release_on_the_web(published: Context) -> Iterator[str]:
    """Serve the release from a web server that lists no files."""
    folder = Path(url_of(published))
    with web_server(folder.parent) as url:
        yield f"{url}/{folder.name}"


def test_it_reads_the_same_from_a_web_server(release_on_the_web: str, release: Release) -> None:
    remote = open_release(release_on_the_web)
    assert remote.manifest == release.manifest
    assert [(row.url, row.picture, row.captions) for row in remote.rows()] == [
        (row.url, row.picture, row.captions) for row in release.rows()
    ]
    assert list(remote.ledger()) == list(release.ledger())
    assert list(remote.changes("removed")) == []


def test_a_release_on_a_web_server_is_verified_there(published: Context, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(url_of(published), tmp_path / "release"))
    with web_server(tmp_path) as url:
        assert list(verify_release(f"{url}/release")) == []
        (copy / "README.md").write_text("something else")
        (copy / "report.html").unlink()
        missing, changed = verify_release(f"{url}/release")
    assert missing == "report.html: missing"
    assert changed.startswith("README.md: changed")


def test_a_web_server_that_is_not_there_or_refuses_says_so(published: Context) -> None:
    with web_server(Path(url_of(published)).parent) as url, pytest.raises(ReleaseError, match="no finished release"):
        open_release(f"{url}/2020.01.01")
    with pytest.raises(StoreUnreachable, match="cannot be reached"):
        open_release(f"{url}/{published.version}")
    with private_server({}) as url, pytest.raises(StoreRefused, match=r"manifest\.json: the server says 401"):
        open_release(f"{url}/{published.version}")
