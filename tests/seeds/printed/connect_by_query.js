// As printed in "WebSocket Integration", Connection Methods, "Query Parameters", the first form.
const ws = new WebSocket('ws://localhost:8000/ws/chat?api_key=your-key&user_id=user123&chat_id=uuid');
