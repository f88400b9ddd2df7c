"""What the demo's pictures show, in the words of six languages, and how each language captions a picture.

Names and captions are made from these words, so that they are in the scripts that real ones are in.
"""

from dataclasses import dataclass

LANGUAGES = ("en", "de", "fr", "ru", "ja", "ar")


@dataclass(frozen=True, slots=True)
class Subject:
    """Something to be seen, in the order of LANGUAGES; ``source`` is scikit-image's picture of it, if there is one."""

    words: tuple[str, str, str, str, str, str]
    source: str = ""

    def word(self, language: str) -> str:
        """Return what the subject is called in a language."""
        return self.words[LANGUAGES.index(language)]


@dataclass(frozen=True, slots=True)
class Speech:
    """How a language speaks of pictures: ``{subject}`` and ``{place}`` are filled in."""

    name: str
    caption: str
    alt: str
    section: str
    context: str


SPEECH = {
    "en": Speech(
        "English",
        "{subject} as seen in {place}",
        "A picture of {subject}",
        "Description",
        'The article says:\n"{subject}" is its subject.\tIt has more than one line.',
    ),
    "de": Speech(
        "Deutsch",
        "{subject}, aufgenommen in {place}",
        "Bild: {subject}",
        "Beschreibung",
        "Der Artikel handelt von „{subject}“.\nEr hat mehr als eine Zeile.",
    ),
    "fr": Speech(
        "Français",
        "{subject}, vue prise à {place}",
        "Image : {subject}",
        "Présentation",
        "L’article traite de « {subject} ».\nIl a plus d’une ligne.",
    ),
    "ru": Speech(
        "Русский",
        "{subject}, снимок сделан в городе {place}",
        "Изображение: {subject}",
        "Описание",
        "Статья посвящена теме «{subject}».\nВ ней больше одной строки.",
    ),
    "ja": Speech(
        "日本語",
        "{place}で撮影された{subject}",
        "{subject}の画像",
        "概要",
        "この記事は「{subject}」について述べる。\n複数の行がある。",
    ),
    "ar": Speech(
        "العربية",
        "{subject} في {place}",
        "صورة {subject}",
        "وصف",
        "موضوع المقالة هو {subject}.\nولها أكثر من سطر.",
    ),
}

PLACES = (
    "Köln",
    "São Paulo",
    "Łódź",
    "Kraków",
    "Zürich",
    "Malmö",
    "İzmir",
    "Reykjavík",
    "Brno",
    "Nîmes",
    "Đà Nẵng",
    "Tromsø",
)

ASTRONAUT = Subject(
    ("Astronaut", "Astronautin", "Astronaute", "Космонавт", "宇宙飛行士", "رائدة فضاء"), "astronaut.png"
)

PHOTOGRAPHED = (
    Subject(("Cat", "Katze", "Chat", "Кошка", "猫", "قطة"), "chelsea.png"),
    Subject(("Cup of coffee", "Tasse Kaffee", "Tasse de café", "Чашка кофе", "コーヒー", "فنجان قهوة"), "coffee.png"),
    Subject(("Rocket", "Rakete", "Fusée", "Ракета", "ロケット", "صاروخ"), "rocket.jpg"),
    Subject(
        ("Deep field", "Sternenfeld", "Champ profond", "Глубокое поле", "深宇宙", "حقل عميق"), "hubble_deep_field.jpg"
    ),
    Subject(("Retina", "Netzhaut", "Rétine", "Сетчатка", "網膜", "شبكية العين"), "retina.jpg"),
    Subject(("Tissue", "Gewebe", "Tissu", "Ткань", "組織", "نسيج"), "ihc.png"),
    Subject(("Motorcycle", "Motorrad", "Moto", "Мотоцикл", "オートバイ", "دراجة نارية"), "motorcycle_left.png"),
    Subject(("Garage", "Werkstatt", "Garage", "Гараж", "ガレージ", "مرآب"), "motorcycle_right.png"),
    Subject(("Horse", "Pferd", "Cheval", "Лошадь", "馬", "حصان"), "horse.png"),
    Subject(("Snake", "Schlange", "Serpent", "Змея", "蛇", "ثعبان"), "logo.png"),
    Subject(("Coins", "Münzen", "Pièces", "Монеты", "硬貨", "عملات"), "coins.png"),
    Subject(("Moon", "Mond", "Lune", "Луна", "月", "القمر"), "moon.png"),
    Subject(("Brick wall", "Ziegelmauer", "Mur de briques", "Кирпичная стена", "煉瓦", "جدار"), "brick.png"),
    Subject(("Grass", "Gras", "Herbe", "Трава", "草", "عشب"), "grass.png"),
    Subject(("Gravel", "Kies", "Gravier", "Гравий", "砂利", "حصى"), "gravel.png"),
    Subject(("Handwriting", "Handschrift", "Écriture", "Рукопись", "手書き", "خط اليد"), "text.png"),
    Subject(("Book page", "Buchseite", "Page de livre", "Страница", "ページ", "صفحة"), "page.png"),
    Subject(("Clock", "Uhr", "Horloge", "Часы", "時計", "ساعة"), "clock_motion.png"),
    Subject(("Cell", "Zelle", "Cellule", "Клетка", "細胞", "خلية"), "cell.png"),
    Subject(
        ("Colour wheel", "Farbkreis", "Cercle chromatique", "Цветовой круг", "色相環", "عجلة الألوان"), "color.png"
    ),
    Subject(
        ("Chessboard", "Schachbrett", "Échiquier", "Шахматная доска", "チェス盤", "رقعة شطرنج"), "chessboard_RGB.png"
    ),
    Subject(("Photographer", "Fotograf", "Photographe", "Фотограф", "写真家", "مصور"), "camera.png"),
)

DRAWN = (
    Subject(("Flag", "Flagge", "Drapeau", "Флаг", "旗", "علم")),
    Subject(("Chart", "Diagramm", "Diagramme", "Диаграмма", "グラフ", "مخطط")),
    Subject(("Map", "Karte", "Carte", "Карта", "地図", "خريطة")),
    Subject(("Pattern", "Muster", "Motif", "Узор", "模様", "نمط")),
    Subject(("Coat of arms", "Wappen", "Blason", "Герб", "紋章", "شعار")),
)
