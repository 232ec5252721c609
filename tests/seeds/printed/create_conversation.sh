# As printed in "Customer Chat API", Quick start, "1. Create a conversation"; indentation restored.
curl -X POST https://lexey.ai/api/v1/customer/conversations \
  -H "Authorization: Bearer $LEXEY_CUSTOMER_KEY" \
  -H "Content-Type: application/json"
