// Drives the printed sendMessage: sends the messages one after the other, or all at once.
import { config, report } from 'driver';

const BASE_URL = config.base;
const API_KEY = config.key;

const texts = [];
if (config.atOnce) {
  texts.push(...(await Promise.all(config.messages.map((message) => sendMessage(config.conversation, message)))));
} else {
  for (const message of config.messages) texts.push(await sendMessage(config.conversation, message));
}
report(texts);
