// As printed in "WebSocket Integration", Connection Methods, the second form; indentation restored.
const ws = new WebSocket('ws://localhost:8000/ws/chat', {
  headers: {
    'X-API-Key': 'your-key',
    'X-User-ID': 'user123',
    'X-Chat-ID': 'uuid'
  }
});
