// Search libraries that Obsidian's plugins use, each driven as its own documentation says.
//
//   node_peers.mjs NAME DOCUMENTS QUESTIONS K        the same files and output as python_peers.py
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { performance } from 'node:perf_hooks';

// The packages stand in a folder of their own: PEERS_MODULES.
const require = createRequire(pathToFileURL(`${process.env.PEERS_MODULES}/package.json`));

const peers = {
  async minisearch(documents) {
    const MiniSearch = require('minisearch');
    const index = new MiniSearch({ fields: ['title', 'text'] });
    index.addAll(documents);
    return (question, k) => index.search(question.text).slice(0, k).map((hit) => hit.id);
  },
  async orama(documents) {
    const { create, insertMultiple, search } = require('@orama/orama');
    const index = create({ schema: { id: 'string', title: 'string', text: 'string' }, });
    await insertMultiple(index, documents, 500);
    return async (question, k) =>
      (await search(index, { term: question.text, properties: ['title', 'text'], limit: k, threshold: 1 })).hits.map((hit) => hit.id);
  },
  // A whole program, which reads the notes itself: PEERS_NOTES. Runs under bun.
  async qmd(documents, find = (store, text, limit) => store.searchLex(text, { limit })) {
    const { createStore } = await import(pathToFileURL(`${process.env.PEERS_MODULES}/node_modules/@tobilu/qmd/dist/index.js`));
    const folder = mkdtempSync(join(tmpdir(), 'peers-'));
    process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
    const store = await createStore({
      dbPath: join(folder, 'index.sqlite'),
      config: { collections: { notes: { path: process.env.PEERS_NOTES, pattern: '**/*.md' } } },
    });
    const { indexed, updated, unchanged } = await store.update();
    if (indexed + updated + unchanged < documents.length) throw new Error(`indexed ${indexed} of ${documents.length} notes`);
    const ids = new Map(documents.map(({ id }) => [id.endsWith('.md') ? id : `${id}.md`, id]));
    return async (question, k) =>
      (await find(store, question.text, k)).map((hit) => ids.get(hit.displayPath.slice('notes/'.length)));
  },
  // The same with a query of its own for each word, joined by its reciprocal ranks: it wants all words otherwise, and has no OR.
  qmd_each(documents) {
    return peers.qmd(documents, (store, text, limit) => store.search({
      queries: text.match(/[\p{L}\p{N}_]+/gu).map((query) => ({ type: 'lex', query })), rerank: false, limit,
    }));
  },
};

const [name, documentFile, questionFile, k] = process.argv.slice(2);
const lines = (file) => readFileSync(file, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
const documents = lines(documentFile).map(({ id, title, text }) => ({ id, title, text }));
const questions = lines(questionFile);
const before = process.memoryUsage.rss();
const begin = performance.now();
const search = await peers[name](documents);
const indexed = performance.now();
await search(questions[0], Number(k));
const first = performance.now();
const ranks = {}, times = [];
for (const question of questions) {
  const start = performance.now();
  ranks[question.id] = await search(question, Number(k));
  times.push(performance.now() - start);
}
const report = JSON.stringify({
  index_s: (indexed - begin) / 1000, first_ms: first - indexed, times_ms: times, ranks, memory_mb: (process.memoryUsage.rss() - before) / 1048576,
});
process.stdout.write(`${report}\n`, () => process.exit(0)); // qmd keeps its index open
