# As printed in "Customer Chat API", Quick start, "3. Retrieve message history"; indentation restored.
curl https://lexey.ai/api/v1/customer/conversations/CONVERSATION_ID/messages \
  -H "Authorization: Bearer $LEXEY_CUSTOMER_KEY"
