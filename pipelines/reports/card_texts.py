"""The parts of the dataset card that are the same for every release."""

from pipelines.tables import Outcome

STAND_IN = """> **Made with stand-in models.** The weights of the real networks were not on the machine. Where a model
> is called a stand-in below, faces were looked for by a simple cascade, and embeddings come from a network with random
> weights: of no use but to show how a release looks. This release belongs in the demo's store and nowhere else."""

MOTIVATION = """WIT (Srinivasan et al., 2021) gives captions in over a hundred languages for the images of Wikipedia,
and names the images by URL alone. Fetching them takes days, strains Wikimedia's servers when it is done without care,
and gives everyone a different set, as files vanish and change. This release holds the pictures themselves, says what
became of every image that was considered, and can be checked file by file."""

FILES = """| files | content |
| --- | --- |
| `parquet/*.parquet` | one row for each picture with everything about it, as wikimedia/wit_base has it, and more |
| `image_pixels/*.csv.gz` | `image_url ⇥ base64 of the picture ⇥ metadata_url`; no header, as in 2021 |
| `resnet_embeddings/*.csv.gz` | `image_url ⇥ 2048 numbers with commas between`; no header, as in 2021 |
| `captions/*.tsv.gz` | the WIT rows of these pictures: WIT's 17 columns and two more, with a header |
| `ledger/*.parquet` | every image that was considered, and what became of it |
| `changes/*.parquet` | what was added, removed and changed since the release before, and why; not in the first one |
| `report.html` | the release at a glance |
| `quality/index.html` | what was expected of this release before it was published, and what was found |
| `croissant.json` | this card for machines (MLCommons Croissant) |
| `manifest.json` | settings, versions, inputs, weights, counts, and every file's size and checksum |
| `SHA256SUMS` | `sha256sum --check SHA256SUMS` says whether every file is as published |"""

COLUMNS = """`image_url` joins all files: the original's URL, https, percent-encoded; `wit_image_url` is WIT's own
spelling of it. An image is in the shard of the same number in every folder, and in every release. Pictures are JPEG
(photographs) or PNG (drawings, transparency), never enlarged, in sRGB, without metadata. `phash` holds the 64 bits of a
perceptual hash; `near_duplicate_of` is the smallest URL of a picture whose hash differs in at most two of them."""

COLLECTION = """The images are those of WIT that have a reference description in at least one row. Their files were
described by the API and fetched as thumbnails of a standard width (or as originals, where these are no wider), and
scaled from there."""

ORIGINS = {
    "wikimedia": "All requests went to Wikimedia's own servers, within the limits that its robot policy sets.",
    "mirror": "All requests went to a mirror of Wikimedia Commons.",
    "demo": "All requests went to a small stand-in for Wikimedia Commons on the machine itself: what this release says "
    "of licences and authors may be made up.",
}

MEANINGS = {
    Outcome.RELEASED: "in this release",
    Outcome.TAKEN_DOWN: "someone asked for its removal",
    Outcome.DELETION_CANDIDATE: "Commons was about to delete it, by its categories and templates",
    Outcome.FACE: "a face covers too much of it",
    Outcome.NOT_ON_COMMONS: "a file of a local wiki, or of none",
    Outcome.MISSING: "Commons has no such file any more",
    Outcome.UNSUPPORTED_TYPE: "a video, a document, or another type that is no picture",
    Outcome.UNDECODABLE: "the file is damaged, or too large",
    Outcome.FETCH_FAILED: "the servers did not give it; the next release tries again",
}

RENEWED = """**All embeddings are new**, also those of pictures that did not change, and cannot be compared with
those of the release before. Build an index of them anew; `changes/` is not enough to bring one up to date."""

USES = """Made for research on images and text: retrieval, captioning, pre-training, studies of Wikipedia itself. It is
not fit for identifying people, nor for deciding anything about a person."""

READING = """```python
import base64, io
import pandas as pd
from PIL import Image

names = ["image_url", "b64_bytes", "metadata_url"]
rows = pd.read_csv("image_pixels/part-00000.csv.gz", sep="\\t", header=None, names=names)
picture = Image.open(io.BytesIO(base64.b64decode(rows.b64_bytes[0])))
```

```python
from datasets import load_dataset

images = load_dataset("parquet", data_files="parquet/*.parquet", split="train", streaming=True)
next(iter(images))["image"]
```

```python
pixels = spark.read.csv(path="image_pixels/*.csv.gz", sep="\\t")
embeddings = spark.read.csv(path="resnet_embeddings/*.csv.gz", sep="\\t")
```

```sql
SELECT image_url, licence, author FROM 'parquet/*.parquet' WHERE licence LIKE 'CC0%';  -- DuckDB
```"""

LIMITS = """- What Wikipedia shows is what its authors chose: people, places and things of some countries and of men are
  over-represented, and captions differ in detail from language to language.
- Face detectors miss faces, of some people more often than of others, and see some that are none. Smaller faces, and
  people seen from behind, are in the pictures.
- Captions are WIT's, of 2020: articles have changed since. Licences and authors are what Commons said when this release
  was made.
- Near duplicates stay in the release; only `near_duplicate_of` marks them.
- ResNet-50 was trained on ImageNet, whose classes and biases its features carry."""

TEXT_LICENCE = "https://creativecommons.org/licenses/by-sa/3.0/"
"""Wikipedia's when WIT was made of it, in 2020; since 2023 it is version 4.0."""

CITATION = """@article{srinivasan2021wit,
  title={WIT: Wikipedia-based Image Text Dataset for Multimodal Multilingual Machine Learning},
  author={Srinivasan, Krishna and Raman, Karthik and Chen, Jiecao and Bendersky, Michael and Najork, Marc},
  journal={arXiv preprint arXiv:2103.01913},
  year={2021}
}"""

REMOVALS = """A picture that is removed from Commons, nominated for deletion there, or named in a request to us is left
out of the next release, and its ledger says so. If you keep a copy of an earlier release, please follow:
delete what `changes/removed.parquet` lists. To have a picture removed, have it removed from Commons, or
write to the address below."""
