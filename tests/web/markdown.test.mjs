// What markdown-parser.js promises, under node: `node --test`. pytest runs this (test_client_module.py).
import assert from "node:assert/strict";
import { test } from "node:test";

import { marked } from "../../web/static/lexicon/markdown-parser.js";
import { Marked } from "../../web/static/lexicon/vendor/marked-18.2.1.js";

const REPLY = `## Returns

Send it **within 30 days**, see [our page](https://a.example/returns) or \`RMA-1\`:

1. Pack it.
   - With the _label_.
   - With the bill.
2. Bring it to a shop.

> It costs nothing.
> > Not even postage.

| from | to |
|------|----|
| 1    | 2  |

~~~
a_b*c
~~~
`;
const long = (unit, length = 30_000) => unit.repeat(length / unit.length);
const text = (html) => html.replace(/<[^>]*>/g, "");

test("a reply is read as marked reads it, also a long one", () => {
  const own = new Marked({ gfm: true, breaks: true });
  assert.equal(marked.parse(REPLY), own.parse(REPLY));
  assert.equal(marked.parse(REPLY.repeat(100)), own.parse(REPLY.repeat(100)));
});

test("a long paragraph with some signs is read, too", () => {
  assert.match(marked.parse(long("It costs **nothing** at all, and takes a day or two. ", 3000)), /<strong>nothing<\/strong>/);
});

for (const unit of ["a_", "a*", "__a", "**a ", "!", "[", "![", "~~a", "_a"]) {
  test(`so many of ${unit} that they would take long are shown as they are written`, () => {
    assert.equal(text(marked.parse(long(unit))).trim(), long(unit).trim());
  });
}

for (const unit of ["> ", "> - ", "- + * ", "1. ", ">"]) {
  test(`no nesting of ${unit} is too deep`, () => {
    const html = marked.parse(`${long(unit)}the end`);
    assert.match(html, /the end/);
    assert.ok(html.match(/<(blockquote|ul|ol)/g).length <= 40);
  });
}
