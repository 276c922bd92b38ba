"""Two-word names in English and Chinese, and sentence templates for them. No word occurs twice.

Each entry is "first second". Controls: the reversed order keeps the words; another second word after the same first
one keeps the context. Chinese pairs are two words of two characters or more.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

Language = Literal["en", "zh"]


@dataclass(frozen=True)
class Pair:
    """A name of two words, in order, without the space between them."""

    first: str
    second: str
    language: Language

    def joined(self, second: str | None = None) -> str:
        """The two words as in a sentence; `second` in place of the second one."""
        return f"{self.first}{' ' if self.language == 'en' else ''}{second or self.second}"

    def reversed(self) -> Pair:
        return Pair(self.second, self.first, self.language)


ENGLISH = """
New York|Los Angeles|San Francisco|Hong Kong|Buenos Aires|Tel Aviv|Sri Lanka|Costa Rica|Puerto Vallarta|Saudi Arabia
Las Vegas|Rhode Island|Cape Town|El Salvador|Kuala Lumpur|Addis Ababa|Burkina Faso|Abu Dhabi|Phnom Penh
Mount Everest|Niagara Falls|Grand Canyon|Great Britain|Loch Ness|Notre Dame|Eiffel Tower|Buckingham Palace|Wall Street
White House|Silicon Valley|Supreme Court|Nobel Prize|World War|Soviet Union|Roman Empire|Middle Ages|Ice Age
Civil Rights|Human Resources|Prime Minister|Vice President|Attorney General|Chief Executive
Albert Einstein|Isaac Newton|Charles Darwin|Marie Curie|William Shakespeare|Jane Austen|Mark Twain
George Washington|Abraham Lincoln|Winston Churchill|Nelson Mandela|Mahatma Gandhi|Julius Caesar|Napoleon Bonaparte
Adolf Hitler|Joseph Stalin|Vladimir Putin|Barack Obama|Donald Trump|Angela Merkel|Margaret Thatcher|Ronald Reagan
Michael Jackson|Elvis Presley|Bob Dylan|Freddie Mercury|Sebastian Bach|Amadeus Mozart|Frida Kahlo|Pablo Picasso
Claude Monet|Andy Warhol|Walt Disney|Harry Potter|Sherlock Holmes|James Bond|Mickey Mouse|Santa Claus|Robin Hood
Star Wars|Game Boy|Rolling Stones|Pink Floyd|Super Bowl|Olympic Games|Formula One|Ivy League
Manchester United|Real Madrid|Bayern Munich|Chicago Bulls|Boston Celtics|Red Sox
Goldman Sachs|Morgan Stanley|Coca Cola|Burger King|Rolls Royce|Alfa Romeo|Aston Martin|Land Rover
Oxford University|Harvard Business|Milky Way|North Pole|Black Sea|Mississippi River|Pearl Harbor
"""

CHINESE = """
北京 大学|清华 附中|上海 外滩|南京 条约|香港 特区|台湾 海峡|广东 省委|四川 火锅|云南 白药|新疆 棉花|西藏 高原|黄河 流域|长江 三角洲
中华 民族|人民 代表|共产 党员|改革 开放|经济 增长|市场 机制|社会 主义|国务 院长|行政 命令|立法 委员|司法 机关|宪法 法庭
最高 法院|检察 总长|刑事 诉讼|民事 责任|知识 产权|商标 注册|公司 章程|股票 交易|银行 存款|保险 合同|财政 部长|教育 部门
外交 政策|国防 预算|交通 运输|铁路 车站|航空 母舰|电脑 软件|网络 安全|人工 智慧|机器 学习|数据 结构|操作 系统|程序 设计
科学 技术|物理 化学|生物 医学|环境 保护|气候 变化|能源 危机|石油 价格|农业 生产|粮食 作物|工业 革命|世界 大战|联合 国家
美国 总统|日本 首相|德国 总理|英国 女王|法国 巴黎|俄罗斯 方块|印度 教徒|韩国 首尔|加拿大 枫叶|澳大利亚 袋鼠
奥林匹克 运动会|足球 比赛|篮球 明星|电影 导演|音乐 专辑|文学 作品|历史 人物|地理 位置|语言 文字|哲学 思想|宗教 信仰
基督 教会|佛教 寺庙|孔子 学院|三国 演义|水浒 传说|唐朝 诗人|明朝 皇帝|清朝 末年
高等 学校|小学 老师|研究 机构|图书 出版|博物馆 展览|医疗 卫生|疾病 预防|公共 场所|消防 救援|警察 局长
"""

TEMPLATES: dict[Language, tuple[str, ...]] = {
    "en": (
        "Last year a book about {} was published.",
        "We talked for an hour about {} and then went home.",
        "The article mentions {} in its second paragraph.",
        "Nobody in the room had ever heard of {} before.",
        "In the afternoon the class read a page on {} together.",
    ),
    "zh": (
        "去年有一本关于{}的书出版了。",
        "我们昨天谈到了{}，然后就回家了。",
        "这篇文章在第二段提到{}这个名称。",
        "在场的人都没有听说过{}的事情。",
        "下午全班一起读了介绍{}的一页。",
    ),
}


def pairs() -> tuple[Pair, ...]:
    """All pairs, English first."""
    found = [Pair(*_split(entry), "en") for entry in _entries(ENGLISH)]
    found += [Pair(*_split(entry), "zh") for entry in _entries(CHINESE)]
    return tuple(found)


def repeated() -> list[str]:
    """Words that occur in more than one pair; the list is only used while this is empty."""
    words = [word.lower() for pair in pairs() for word in (pair.first, pair.second)]
    return sorted({a for a, b in combinations(words, 2) if a == b})


def _entries(text: str) -> list[str]:
    return [entry for line in text.strip().splitlines() for entry in line.split("|")]


def _split(entry: str) -> tuple[str, str]:
    first, second = entry.split(" ")
    return first, second
