"""Chat templates of the tiny models: the shapes that real model families have.

`strip_reasoning` is the one that does not keep its prefix: like Qwen 3 it drops what was thought in
turns before the last user message, so a conversation with reasoning starts afresh at each of them.
"""

from __future__ import annotations

_TOOLS = """{%- if tools %}
{{- 'You may call these tools, one JSON object per call between <tool_call> and </tool_call>:\\n' }}
{%- for tool in tools %}{{- tool | tojson + '\\n' }}{%- endfor %}
{%- endif %}"""

_CALLS = """{%- for call in message.tool_calls or [] %}
{{- '\\n' if message.content or not loop.first else '' }}
{%- set function = {'name': call.function.name, 'arguments': call.function.arguments} %}
{{- '<tool_call>\\n' + function | tojson + '\\n</tool_call>' }}
{%- endfor %}"""

_CHATML_SYSTEM = (
    """{%- set system = messages[0].content if messages and messages[0].role == 'system' else '' %}
{%- if system or tools %}{{- '<|im_start|>system\\n' + system + ('\\n' if system and tools else '') }}"""
    + _TOOLS
    + """{{- '<|im_end|>\\n' }}{%- endif %}"""
)

_CHATML_END = "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"

CHATML = (
    _CHATML_SYSTEM
    + """{%- for message in messages %}
{%- if message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- elif not (message.role == 'system' and loop.first) %}
{{- '<|im_start|>' + message.role + '\\n' + message.content }}"""
    + _CALLS
    + """{{- '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}"""
    + _CHATML_END
)

STRIP_REASONING = (
    _CHATML_SYSTEM
    + """{%- set ns = namespace(last=-1) %}
{%- for message in messages %}{%- if message.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}
{%- for message in messages %}
{%- if message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- elif not (message.role == 'system' and loop.first) %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.reasoning_content and loop.index0 > ns.last %}
{{- '<think>' + message.reasoning_content + '</think>' }}
{%- endif %}
{{- message.content }}"""
    + _CALLS
    + """{{- '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}"""
    + _CHATML_END
)

LLAMA3 = (
    """{{- bos_token }}
{%- for message in messages %}
{%- set role = 'ipython' if message.role == 'tool' else message.role %}
{{- '<|start_header_id|>' + role + '<|end_header_id|>\\n\\n' + message.content | trim }}
{%- if loop.first and tools %}{{- '\\n\\n' }}"""
    + _TOOLS
    + """{%- endif %}"""
    + _CALLS
    + """{{- '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"""
)

GEMMA = """{{- bos_token }}
{%- if messages[0].role == 'system' %}
{%- set first = messages[0].content + '\\n\\n' %}{%- set rest = messages[1:] %}
{%- else %}{%- set first = '' %}{%- set rest = messages %}{%- endif %}
{%- for message in rest %}
{%- set role = 'model' if message.role == 'assistant' else 'user' %}
{{- '<start_of_turn>' + role + '\\n' + (first if loop.first else '') + message.content | trim + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start_of_turn>model\\n' }}{%- endif %}"""

MISTRAL = """{{- bos_token }}
{%- if messages and messages[0].role == 'system' %}
{%- set first = messages[0].content + '\\n\\n' %}{%- set rest = messages[1:] %}
{%- else %}{%- set first = '' %}{%- set rest = messages %}{%- endif %}
{%- for message in rest %}
{%- if message.role == 'assistant' %}{{- message.content + eos_token }}
{%- else %}{{- '[INST]' + (first if loop.first else '') + message.content + '[/INST]' }}{%- endif %}
{%- endfor %}"""

TEMPLATES = {
    "chatml": (CHATML, "<|endoftext|>", "<|im_end|>", ("<|im_start|>",)),
    "strip_reasoning": (STRIP_REASONING, "<|endoftext|>", "<|im_end|>", ("<|im_start|>",)),
    "llama3": (LLAMA3, "<|begin_of_text|>", "<|eot_id|>", ("<|start_header_id|>", "<|end_header_id|>")),
    "gemma": (GEMMA, "<bos>", "<end_of_turn>", ("<start_of_turn>",)),
    "mistral": (MISTRAL, "<s>", "</s>", ("[INST]", "[/INST]")),
}
"""Name -> (template, first special token, end of turn, other special tokens)."""
