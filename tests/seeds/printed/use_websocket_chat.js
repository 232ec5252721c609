// As printed in "WebSocket Integration", Implementation Examples, "React Hook Implementation"; indentation restored.
import { useState, useEffect, useRef, useCallback } from 'react';
function useWebSocketChat(apiKey, userId, chatId) {
  const [connected, setConnected] = useState(false);
  const [messages, setMessages] = useState([]);
  const [streamingResponse, setStreamingResponse] = useState('');
  const [isStreaming, setIsStreaming] = useState(false);
  const [error, setError] = useState(null);
  const ws = useRef(null);
  const connect = useCallback(() => {
    if (!apiKey || !userId || !chatId) return;
    const url = `ws://localhost:8000/ws/chat?api_key=${apiKey}&user_id=${userId}&chat_id=${chatId}`;
    ws.current = new WebSocket(url);
    ws.current.onopen = () => {
      setConnected(true);
      setError(null);
    };
    ws.current.onmessage = (event) => {
      const data = JSON.parse(event.data);
      switch (data.event_type) {
        case 'connection_established':
          console.log('Connected to chat');
          break;
        case 'message_received':
          setMessages(prev => [...prev, {
            id: data.message_id,
            content: data.content,
            sender: 'user',
            timestamp: data.timestamp
          }]);
          break;
        case 'message_stream_started':
          setIsStreaming(true);
          setStreamingResponse('');
          break;
        case 'message_stream_token':
          setStreamingResponse(prev => prev + data.token);
          break;
        case 'message_stream_ended':
          setMessages(prev => [...prev, {
            id: data.message_id,
            content: data.content,
            sender: 'assistant',
            timestamp: data.timestamp
          }]);
          setIsStreaming(false);
          setStreamingResponse('');
          break;
        case 'error':
          setError(data.error_message);
          break;
      }
    };
    ws.current.onclose = () => {
      setConnected(false);
    };
    ws.current.onerror = (error) => {
      setError('Connection error');
      console.error('WebSocket error:', error);
    };
  }, [apiKey, userId, chatId]);
  const sendMessage = useCallback((content, metadata = {}) => {
    if (!ws.current || ws.current.readyState !== WebSocket.OPEN) {
      throw new Error('Not connected');
    }
    const message = {
      content,
      ...(Object.keys(metadata).length > 0 && { metadata })
    };
    ws.current.send(JSON.stringify(message));
  }, []);
  const disconnect = useCallback(() => {
    if (ws.current) {
      ws.current.close();
    }
  }, []);
  useEffect(() => {
    connect();
    return disconnect;
  }, [connect, disconnect]);
  return {
    connected,
    messages,
    streamingResponse,
    isStreaming,
    error,
    sendMessage,
    reconnect: connect
  };
}
