"""A Google Takeout and an iCloud export as they come: which file describes which photos, each case as somebody met it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from imgctl.imaging.formats import Format
from tests.imaging.films import KEPT, box, film
from tests.imaging.pictures import encoded, quadrants

GITHUB = "https://github.com/"
GO = f"{GITHUB}simulot/immich-go/issues/"
HELPER = f"{GITHUB}TheLastGimbus/GooglePhotosTakeoutHelper/issues/"
NEO = f"{GITHUB}Xentraxx/GooglePhotosTakeoutHelper_Neo/issues/"
GO_NOTES = f"{GITHUB}simulot/immich-go/blob/2e5607a/docs/misc/google-takeout.md"
GO_NAMES = f"{GITHUB}simulot/immich-go/blob/2e5607a/adapters/googlePhotos/matcher_test.go"
FIXER = f"{GITHUB}J4NS-R/gp-takeout-json-fix/blob/main/README.md"
STRUCTURE = f"{GITHUB}papa-vova/gphotos-321sync/blob/1409c4a/Google_Takeout_Structure.md"
SMILES = "😀😃😄😁😆😅😂🤣🥲☺️😊😇🙂🙃😉😌😍🥰😘😗😙😚😋"
LONG = "123456789123456789123456789123456_DSCN0091"

YEARS = ("Photos from 2019", "Fotos von 2019", "Photos de 2019", "Fotos de 2019", "Foto dal 2019", "รูปภาพจาก 2019")
"""Names of the folders of a year: English, German, French, Spanish, Italian (HELPER 318, 480), Thai (HELPER 472)."""

TAKEOUT: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    # The name of the photo, then `.json` or (since 2024) `.supplemental-metadata.json`.
    (f"{GITHUB}photoprism/photoprism/issues/2133", "0308141935.jpg.json", ("0308141935.jpg",)),
    (f"{GO}652", "20161105_170829.jpg.supplemental-metadata.json", ("20161105_170829.jpg",)),
    (f"{GO}940", "screen43.JPG.supplemental-metadata.json", ("screen43.JPG",)),
    (f"{GO}405", "PXL_20210102_221126857.MP~2.jpg.json", ("PXL_20210102_221126857.MP~2.jpg",)),
    # Cut where it would be longer than 46 and its ending.
    (f"{GO}652", "MVIMG_20191230_232926.jpg.supplemental-metadat.json", ("MVIMG_20191230_232926.jpg",)),
    (f"{GO}652", "MVIMG_20200207_134534~2.jpg.supplemental-metad.json", ("MVIMG_20200207_134534~2.jpg",)),
    (f"{GO}652", "Screenshot_20200301-161151.png.supplemental-me.json", ("Screenshot_20200301-161151.png",)),
    (
        f"{GITHUB}ente/ente/pull/4956",
        "Screenshot_2017-07-05-10-05-26.png.supplementa.json",
        ("Screenshot_2017-07-05-10-05-26.png",),
    ),
    (
        f"{GO}652",
        "Screenshot_20231027_123303_Facebook.jpg.supple.json",
        ("Screenshot_20231027_123303_Facebook.jpg", "Screenshot_20231027_123303_Facebook-edited.jpg"),
    ),
    (
        f"{HELPER}353",
        "D7157814-D2D5-4A62-AFCE-9CF465CB7D66.jpeg.supp.json",
        ("D7157814-D2D5-4A62-AFCE-9CF465CB7D66.jpeg",),
    ),
    (
        f"{GO}613",
        "13039_327707840323_537645323_9470255_27214_n.j.json",
        ("13039_327707840323_537645323_9470255_27214_n.jpg",),
    ),
    (
        GO_NAMES,
        "05yqt21kruxwwlhhgrwrdyb6chhwszi9bqmzu16w0 2.jp.json",
        ("05yqt21kruxwwlhhgrwrdyb6chhwszi9bqmzu16w0 2.jpg",),
    ),
    (
        f"{GO}68",
        "PXL_20230814_201154491.LONG_EXPOSURE-01.COVER..json",
        ("PXL_20230814_201154491.LONG_EXPOSURE-01.COVER.jpg",),
    ),
    (
        f"{GO}68",
        "PXL_20230809_203449253.LONG_EXPOSURE-02.ORIGIN.json",
        ("PXL_20230809_203449253.LONG_EXPOSURE-02.ORIGINA.jpg",),
    ),
    (
        f"{GO}473",
        "64749066_665197307240365_1070194369992065024_o.json",
        ("64749066_665197307240365_1070194369992065024_o.jpg",),
    ),
    (
        f"{GO}473",
        "MSGR_PHOTO_FOR_UPLOAD_1522315122420.jpg_152231.json",
        ("MSGR_PHOTO_FOR_UPLOAD_1522315122420.jpg_152231.jpeg",),
    ),
    (
        GO_NAMES,
        "Screenshot_2024-08-31-00-53-48-647_com.snapcha.json",
        ("Screenshot_2024-08-31-00-53-48-647_com.snapchat.jpg",),
    ),
    (GO_NAMES, f"{SMILES}.json", (f"{SMILES}😛.jpg",)),
    # Cut elsewhere.
    (f"{GO}756", "IMG_20120216_094017.jpg.suppl.json", ("IMG_20120216_094017.jpg",)),
    (
        f"{GITHUB}TheLastGimbus/GooglePhotosTakeoutHelper/pull/449",
        "IMG_20120216_094018.jpg.s.json",
        ("IMG_20120216_094018.jpg",),
    ),
    (FIXER, "IMG_123456790.j.json", ("IMG_123456790.jpg",)),
    (STRUCTURE, "Screenshot_2022-04-21_abb9c8060a0a(1).json", ("Screenshot_2022-04-21_abb9c8060a0a1(1).jpg",)),
    # Cut where the photo's own name is not.
    (
        STRUCTURE,
        "Screenshot_2024-01-14-14-13-33-16_948cd9899890.json",
        ("Screenshot_2024-01-14-14-13-33-16_948cd9899890cbd5c2798760b2b95377.jpg",),
    ),
    # The number of a name that came up before moves to the end, or not, or stands twice.
    (f"{HELPER}59", "IMG_4081.JPG(1).json", ("IMG_4081(1).jpg",)),
    (f"{GITHUB}Zaczero/google-photos-takeout.sh/issues/2", "IMG_0484.JPG.json", ("IMG_0484.JPG",)),
    (f"{GITHUB}Zaczero/google-photos-takeout.sh/issues/2", "IMG_0484.JPG(1).json", ("IMG_0484(1).JPG",)),
    (f"{GITHUB}Zaczero/google-photos-takeout.sh/issues/2", "IMG_0484.JPG(3).json", ("IMG_0484(3).JPG",)),
    (f"{GO}673", "Scan35.jpg.supplemental-metadata(1).json", ("Scan35(1).jpg",)),
    (
        f"{GITHUB}immich-app/immich/issues/30319",
        "2025-04-28.jpg.supplemental-metadata(3516).json",
        ("2025-04-28(3516).jpg",),
    ),
    (
        f"{GO}652",
        "Screenshot_20231027_123303_Facebook.jpg.supple(1).json",
        ("Screenshot_20231027_123303_Facebook(1).jpg",),
    ),
    (
        f"{GO}613",
        "13039_327707840323_537645323_9470255_27214_n.j(1).json",
        ("13039_327707840323_537645323_9470255_27214_n(1).jpg",),
    ),
    (
        f"{GO}473",
        "USER_SCOPED_TEMP_DATA_MSGR_PHOTO_FOR_UPLOAD_15(1).json",
        ("USER_SCOPED_TEMP_DATA_MSGR_PHOTO_FOR_UPLOAD_15(1).jpeg",),
    ),
    (
        f"{GO}39",
        "Backyard_ceremony_wedding_photography_xxxxxxx_.json",
        ("Backyard_ceremony_wedding_photography_xxxxxxx_m.jpg",),
    ),
    (
        f"{GO}39",
        "Backyard_ceremony_wedding_photography_xxxxxxx_(494).json",
        ("Backyard_ceremony_wedding_photography_xxxxxxx_m(494).jpg",),
    ),
    (f"{GITHUB}Wacheee/GooglePhotosTakeoutHelper/issues/15", "img(18).jpg.supple(18).json", ("img(18).jpg",)),
    (
        f"{GO}68",
        "original_1d4caa6f-16c6-4c3d-901b-9387de10e528_.json",
        (
            "original_1d4caa6f-16c6-4c3d-901b-9387de10e528_P.jpg",
            "original_1d4caa6f-16c6-4c3d-901b-9387de10e528_P(1).jpg",
        ),
    ),
    # Without the ending of the photo, or with another.
    (f"{GO}674", "Peanut Butter Balls.supplemental-metadata.json", ("Peanut Butter Balls.jpg",)),
    (
        f"{GO}674",
        "2234089303984509579.supplemental-metadata.json",
        ("2234089303984509579.jpg", "2234089303984509579-edited.jpg"),
    ),
    (f"{GO}756", "2013-12-23.supplemental-metadata(1).json", ("2013-12-23(1).jpg",)),
    (f"{HELPER}46", "20090216_00021.JPG.json", ("20090216_00021.jpg",)),
    (FIXER, "IMG_1234.jpeg.json", ("IMG_1234.jpg",)),
    # An edited copy shares that of its original, in every language.
    (f"{HELPER}92", "IMG_4269.JPG.json", ("IMG_4269.JPG", "IMG_4269-edited.JPG")),
    (
        f"{GO}698",
        "IMG-20230325-WA0122~2.jpg.supplemental-metadat.json",
        ("IMG-20230325-WA0122~2.jpg", "IMG-20230325-WA0122~2-edited.jpg"),
    ),
    (f"{GO}756", "IMG_20120216_094016.jpg.supplemental-metadata.json", ("IMG_20120216_094016-edited(1).jpg",)),
    (
        GO_NOTES,
        "PXL_20220405_090123740.PORTRAIT.jpg.json",
        ("PXL_20220405_090123740.PORTRAIT.jpg", "PXL_20220405_090123740.PORTRAIT-modifié.jpg"),
    ),
    (
        f"{GO}1419",
        "Negative0-36-35(1).jpg.supplemental-metadata.json",
        ("Negative0-36-35(1).jpg", "Negative0-36-35(1)-editat.jpg"),
    ),
    (
        f"{GO}1419",
        "Negative0-36-35(1).jpg.supplemental-metadata(1).json",
        ("Negative0-36-35(1)(1).jpg", "Negative0-36-35(1)-editat(1).jpg"),
    ),
    (
        f"{NEO}29",
        "DSC_1.jpg.supplemental-metadata.json",
        ("DSC_1-bearbeitet.jpg", "DSC_1-bewerkt.jpg", "DSC_1-modificato.jpg"),
    ),
    (
        f"{NEO}29",
        "DSC_2.jpg.supplemental-metadata.json",
        ("DSC_2-ha editado.jpg", "DSC_2-edytowane.jpg", "DSC_2-編集済み.jpg"),
    ),
    (f"{NEO}29", f"{LONG}.JPG.json", (f"{LONG}.JPG", f"{LONG}-ha e.JPG")),
    (STRUCTURE, "IMG20240221145914.jpg.supplemental-metadata.json", ("IMG20240221145914~2.jpg",)),
    # The film of a Live or Motion Photo shares that of the still.
    (f"{HELPER}180", "IMG_4573.HEIC.json", ("IMG_4573.HEIC", "IMG_4573.mp4")),
    (f"{HELPER}92", "IMG_0503.HEIC.supplemental-metadata.json", ("IMG_0503.HEIC", "IMG_0503.MP4")),
    (f"{GITHUB}mattwilson1024/google-photos-exif/issues/26", "IMG_0504.JPG.json", ("IMG_0504.MP4",)),
    (f"{GITHUB}Wacheee/GooglePhotosTakeoutHelper/issues/16", "IMG_0505.jpg.json", ("IMG_0505.jpg", "IMG_0505.mov")),
    (f"{GO_NAMES}#IMG_2710", "IMG_2710.HEIC(1).json", ("IMG_2710(1).HEIC", "IMG_2710(1).MP4")),
    (
        f"{HELPER}180",
        "PXL_20230205_164128403.MP.jpg.json",
        ("PXL_20230205_164128403.MP.jpg", "PXL_20230205_164128403.MP"),
    ),
    (
        f"{GO}405",
        "PXL_20210102_221126856.MP~2.jpg.json",
        ("PXL_20210102_221126856.MP~2.jpg", "PXL_20210102_221126856.MP~2"),
    ),
    (f"{GO}634", "MVIMG_20180722_120942.jpg.json", ("MVIMG_20180722_120942.jpg", "MVIMG_20180722_120942")),
)
"""Who met it, the file that Takeout wrote, and the photos and films that it describes."""

TITLES = {
    "IMG_123456790.j.json": "IMG_123456790.jpg",
    "Screenshot_2022-04-21_abb9c8060a0a(1).json": "Screenshot_2022-04-21_abb9c8060a0a12c5ac89e934e52a2f4f.jpg",
}
"""What is in the JSON files whose names alone prove nothing."""

ALBUM_JSON = ("metadata.json", "métadonnées.json", "Metadaten.json", "метаданные.json")
"""What describes an album (GO_NOTES, "Some key file names are spelled in the user language")."""

IN_ALBUM = 12

COLUMNS = "imgName,fileChecksum,favorite,hidden,deleted,originalCreationDate,viewCount,importDate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A photo of the tree, and what its row must say."""

    path: str
    content: bytes
    caption: str | None
    taken_at: datetime | None


def takeout() -> Iterator[Told]:
    """Every photo of TAKEOUT, spread over the folders of years; no two are the same picture."""
    serial = 0
    for number, (_, _, photos) in enumerate(TAKEOUT):
        for name in photos:
            serial += 1
            yield Told(
                path=f"{folder(number)}/{name}",
                content=picture(name, serial),
                caption=caption(number),
                taken_at=moment(number),
            )


def folder(number: int) -> str:
    return f"Takeout/Google Fotos/{YEARS[number % len(YEARS)]}"


def caption(number: int) -> str:
    return f"At the lake, № {number}"


def moment(number: int) -> datetime:
    return datetime(2019, 1, 1, 12, tzinfo=UTC) + timedelta(days=number)


def picture(name: str, serial: int) -> bytes:
    """A picture or film without any date of its own, as its name says; each `serial` is another."""
    ending = name.rpartition(".")[2].lower()
    if ending in {"mp4", "mov", "mp", "mp~2"} or "." not in name:
        return film(KEPT[Format.MOV if ending == "mov" else Format.MP4]) + box(b"free", bytes([serial]))
    kind = {"heic": "HEIF", "png": "PNG"}.get(ending, "JPEG")
    return encoded(quadrants(64 + 2 * (serial % 50), 48 + 2 * (serial // 50)), kind)


def about(taken_at: datetime | None, text: str = "", *, flag: str = "", title: str = "x") -> str:
    """A JSON of Takeout; where it was taken is in it too, and must get nowhere."""
    place = {
        "latitude": 48.8583736,
        "longitude": 2.2944813,
        "altitude": 33.0,
        "latitudeSpan": 0.0,
        "longitudeSpan": 0.0,
    }
    seconds = str(int(taken_at.timestamp())) if taken_at else "0"
    told: dict[str, object] = {"title": title, "description": text, "photoTakenTime": {"timestamp": seconds}}
    if flag:
        told[flag] = True
    return json.dumps(told | {"geoData": place, "geoDataExif": place, "people": [{"name": "Ada"}]})


def write_takeout(place: Path) -> list[Told]:
    """Write the whole tree, with albums' own JSON beside; returns what its rows must say.

    IN_ALBUM photos lie in an album, too, where nothing describes them.
    """
    told = list(takeout())
    copies = [(f"Takeout/Google Fotos/Album/{one.path.rpartition('/')[2]}", one) for one in told[:IN_ALBUM]]
    for name, one in (*copies, *((one.path, one) for one in told)):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one.content)
    for number, (_, sidecar, _) in enumerate(TAKEOUT):
        (place / folder(number) / sidecar).write_text(
            about(moment(number), caption(number), title=TITLES.get(sidecar, "x"))
        )
    for number, name in enumerate(ALBUM_JSON):
        (place / folder(number) / name).write_text(json.dumps({"title": "Summer", "description": "not a photo's"}))
    return told
