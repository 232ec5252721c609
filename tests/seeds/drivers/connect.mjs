// Drives a printed `ws`: when it is open it sends as the Quick Start prints it, and listens for the reply.
import { config, report } from 'driver';

const events = [];

ws.onopen = () => {
  /* SEND */
};

ws.onmessage = (event) => {
  events.push(JSON.parse(event.data));
  if (events.at(-1).event_type === 'message_stream_ended') ws.close();
};

ws.onclose = () => report(events);
