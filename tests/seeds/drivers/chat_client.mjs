// Drives the printed ChatClient, in place of its usage lines.
import { changed, config, release, report, until } from 'driver';

// What the printed sendMessage reads, in the scenario that has one.
const BASE_URL = config.base;
const API_KEY = config.customerKey;

class Watched extends ChatClient {
  seen = { received: [], started: 0, shown: '', replies: [], errors: [], closed: null };
  greeted = false;

  handleEvent(event) {
    super.handleEvent(event);
    if (event.event_type === 'connection_established') this.greeted = true;
    if (event.event_type === 'message_received') this.seen.received.push(event.content);
    if (event.event_type === 'message_stream_started') this.seen.started += 1;
    changed();
  }

  updateUI(partialResponse) {
    this.seen.shown = partialResponse;
  }

  finalizeResponse(event) {
    this.seen.replies.push({ shown: this.seen.shown, content: event.content });
    this.seen.shown = '';
  }

  handleError(error) {
    this.seen.errors.push([error.error_code, error.error_message]);
  }

  handleDisconnect(event) {
    this.seen.closed = [event.code, event.reason];
    this.greeted = false;
    changed();
  }

  async open() {
    this.connect();
    await until(() => this.greeted);
    return this;
  }

  async answers(count) {
    await until(() => this.seen.replies.length === count);
  }
}

const newClient = (user) => new Watched(config.key, user, config.chat);

const scenarios = {
  // One message after the other, each when the one before it is answered.
  async talk() {
    const client = await newClient('alice').open();
    for (const [index, message] of config.messages.entries()) {
      client.sendMessage(...message);
      await client.answers(index + 1);
    }
    client.disconnect();
    await until(() => client.seen.closed);
    return [client];
  },

  async sendAllAtOnce() {
    const client = await newClient('alice').open();
    for (const message of config.messages) client.sendMessage(...message);
    await client.answers(config.messages.length);
    return [client];
  },

  async joinLate() {
    const first = await newClient('alice').open();
    first.sendMessage(...config.messages[0]);
    await until(() => first.seen.shown);
    const late = await newClient('bob').open();
    await until(() => late.seen.shown);
    await release();
    await Promise.all([first.answers(1), late.answers(1)]);
    return [first, late];
  },

  async reconnect() {
    const client = await newClient('alice').open();
    client.sendMessage(...config.messages[0]);
    await until(() => client.seen.shown);
    client.disconnect();
    await until(() => client.seen.closed);
    client.seen.shown = '';
    await client.open();
    await until(() => client.seen.shown);
    await release();
    await client.answers(1);
    return [client];
  },

  async together() {
    const clients = [await newClient('alice').open(), await newClient('bob').open()];
    for (const [index, client] of clients.entries()) client.sendMessage(...config.messages[index]);
    await Promise.all(clients.map((client) => client.answers(2)));
    return clients;
  },

  // The client of the customer API asks, this one only listens.
  async overhear() {
    const client = await newClient('support').open();
    client.seen.returned = await sendMessage(config.chat, ...config.messages[0]);
    await client.answers(1);
    return [client];
  },

  async refused() {
    const client = new Watched(config.key, config.user, config.chat);
    client.connect();
    await until(() => client.seen.closed);
    return [client];
  },
};

const clients = await scenarios[config.scenario]();
report(clients.map((client) => client.seen));
