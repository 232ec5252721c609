// As printed in "Chat API", Quick Start, "3. Send Messages".
ws.send(JSON.stringify({
  content: "Hello, I need help with my account"
}));
