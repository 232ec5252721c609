// How is a reply's Markdown read, so that no reply takes longer than its length?
//
// marked tries each sign that may open something against all that follows, and calls itself for each quotation or list
// within another. What has too many of either is shown as it is written.
import { Lexer, Marked } from "./vendor/marked-18.2.1.js";

/** Signs that marked looks on from, spaces in a row among them. */
const SIGNS = /[\\`*_~![\]<&@]|\s(?=\s)/g;
/** Most signs of a paragraph times its length: 3,000 characters of which every tenth is one. */
const MOST_STEPS = 1_000_000;
/** Quotations and lists within each other. */
const MOST_DEPTH = 20;

const plain = (text) => ({ type: "text", raw: text, text, escaped: false });

class BoundedLexer extends Lexer {
  #depth = 0;

  blockTokens(text, tokens = [], ...rest) {
    if (this.#depth >= MOST_DEPTH) {
      tokens.push({ type: "paragraph", raw: text, text, tokens: [plain(text)] });
      return tokens;
    }
    this.#depth += 1;
    try {
      return super.blockTokens(text, tokens, ...rest);
    } finally {
      this.#depth -= 1;
    }
  }

  inlineTokens(text, tokens = []) {
    if ((text.match(SIGNS)?.length ?? 0) * text.length <= MOST_STEPS) return super.inlineTokens(text, tokens);
    tokens.push(plain(text));
    return tokens;
  }
}

const escaped = (text) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);

export const marked = new Marked({
  gfm: true,
  breaks: true,
  hooks: { provideLexer: () => (text, options) => new BoundedLexer(options).lex(text) },
  renderer: {
    html: ({ text }) => escaped(text),
    image: ({ href, text }) => `<a href="${escaped(href)}">${escaped(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});
