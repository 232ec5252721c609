# As printed in "Customer Chat API", Quick start, "2. Send a message (streamed response)"; indentation restored.
curl -N -X POST https://lexey.ai/api/v1/customer/conversations/CONVERSATION_ID/messages \
  -H "Authorization: Bearer $LEXEY_CUSTOMER_KEY" \
  -H "Content-Type: application/json" \
  -d '{"message": "What are your business hours?"}'
