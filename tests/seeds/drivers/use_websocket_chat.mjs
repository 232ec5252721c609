// Drives the printed hook, in place of its component.
import { Page } from 'react';
import { changed, config, release, report, until } from 'driver';

// Every socket the hook opened, with the types of the events it was sent.
const sockets = [];
const Real = globalThis.WebSocket;
globalThis.WebSocket = class extends Real {
  types = [];

  constructor(...parameters) {
    super(...parameters);
    sockets.push(this);
    this.addEventListener('message', ({ data }) => {
      this.types.push(JSON.parse(data).event_type);
      queueMicrotask(changed);
    });
    this.addEventListener('close', () => queueMicrotask(changed));
  }
};

// What stood beside the cursor, reply by reply, just before each was finished.
const streamed = [];
let streaming = '';

const page = new Page(
  () => useWebSocketChat(config.key, 'alice', config.chat),
  (view) => {
    if (streaming && !view.streamingResponse && !view.isStreaming) streamed.push(streaming);
    streaming = view.streamingResponse;
    changed();
  },
);

const told = (type) => until(() => sockets.at(-1).types.includes(type));
const shows = (count) => until(() => page.view.messages.length === count && !page.view.isStreaming);

const scenarios = {
  async talk() {
    await told('connection_established');
    for (const [index, message] of config.messages.entries()) {
      page.view.sendMessage(...message);
      await shows(2 * index + 2);
    }
  },

  async reconnect() {
    await told('connection_established');
    page.view.sendMessage(...config.messages[0]);
    await told('message_stream_token');
    sockets.at(-1).close();
    await until(() => !page.view.connected);
    page.view.reconnect();
    await told('message_stream_token');
    await release();
    await shows(2);
  },

  async refused() {
    await until(() => sockets[0].readyState === WebSocket.CLOSED);
  },
};

await scenarios[config.scenario]();
const { connected, messages, streamingResponse, isStreaming, error } = page.view;
report({ connected, messages, streamingResponse, isStreaming, error, streamed });
