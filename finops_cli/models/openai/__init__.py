"""Models on servers that speak the HTTP API of OpenAI: vLLM, SGLang, llama-server and others."""
