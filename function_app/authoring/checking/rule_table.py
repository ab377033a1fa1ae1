"""The rules for training data, one row each, with the behavior of each service and its evidence.

To add a rule, add a row here and a line in `examples` (or `check`) that finds the violation. Nothing was tried on a
live service. If no source describes a service, its verdict is unknown.
"""

from collections.abc import Mapping

from function_app.authoring.checking.rules import Evidence, Grade, Rule, Severity, Verdict

_CHAT_SCHEMA = "FineTuneChatRequestInput"
_SFT, _VISION, _RFT = "Customize a model with fine-tuning", "Vision fine-tuning", "Reinforcement fine-tuning"
_DPO = "Direct preference optimization"
_TOOLS = "Fine-tuning with function calling"
_COOKBOOK = "cookbook, Data preparation for chat fine-tuning"


def _refuses(grade: Grade, source: str) -> Evidence:
    return Evidence(Verdict.REFUSES, grade, source)


def _accepts(grade: Grade, source: str) -> Evidence:
    return Evidence(Verdict.ACCEPTS, grade, source)


def _ignores(grade: Grade, source: str) -> Evidence:
    return Evidence(Verdict.IGNORES, grade, source)


_UNKNOWN = Evidence(Verdict.UNKNOWN)
_E, _P, _S, _V, _T, _I = Grade
_BY_SCHEMA = _refuses(_S, _CHAT_SCHEMA)

_FILE_RULES = (
    Rule(
        "not-jsonl",
        "A file is text in UTF-8 with one JSON object on each line (JSONL).",
        _refuses(_P, "Fine-tuning best practices"),
        _refuses(_P, _SFT),
    ),
    Rule(
        "malformed",
        "Every line is a JSON object in UTF-8.",
        _refuses(_E, "every line is a JSON dictionary"),
        _refuses(_E, "jsonlValidationFailed"),
    ),
    Rule(
        "mixed-formats",
        "All lines have one format.",
        _refuses(_E, "expected either prompt/completion pairs or chat messages"),
        _refuses(_E, "No valid json line found in file"),
    ),
    Rule(
        "file-name",
        "The file's name ends with .jsonl.",
        _refuses(_P, "API reference, Upload file"),
        Evidence(Verdict.UNKNOWN, _V, "azure-skills, checklist of the fine-tuning skill"),
    ),
    Rule(
        "byte-order-mark",
        "A file does not need a byte-order mark.",
        Evidence(Verdict.UNKNOWN, _T, "refusals of a first line that looks right"),
        _accepts(_P, _SFT),
    ),
    Rule(
        "blank-lines",
        "No line is blank.",
        Evidence(Verdict.UNKNOWN, _T, "advice against a blank last line"),
        _accepts(_V, "azure-skills, validate_sft.py"),
    ),
    Rule("not-a-number", "Values are JSON, which has no NaN and no Infinity (RFC 8259).", _UNKNOWN, _UNKNOWN),
    Rule(
        "size",
        "A file has at most 512 MB.",
        _refuses(_P, "API reference, Upload file"),
        _refuses(_P, "Azure OpenAI quotas and limits"),
    ),
    Rule(
        "large-file",
        "Files above 150 MB are uploaded in parts.",
        _accepts(_P, "API reference, Upload file"),
        Evidence(Verdict.UNKNOWN, _V, "azure-skills, large file uploads: such jobs failed with status 500"),
    ),
    Rule(
        "no-examples",
        "A file has examples.",
        _refuses(_E, "invalid_n_examples"),
        _refuses(_E, "No valid json line found in file"),
    ),
    Rule(
        "few-examples",
        "A training file has at least 10 examples.",
        _refuses(_E, "invalid_n_examples"),
        _refuses(_P, _SFT),
    ),
    Rule(
        "few-validation-examples",
        "A validation file of reinforcement has at least 10 examples.",
        _UNKNOWN,
        _refuses(_P, "microsoft-foundry/fine-tuning, RFT_ToolCall"),
    ),
    Rule(
        "many-images",
        "At most 50,000 examples have images.",
        _refuses(_P, _VISION),
        _refuses(_P, _VISION),
    ),
    Rule(
        "many-tokens",
        "A job trains on at most 2,000,000,000 tokens, counting every epoch.",
        _UNKNOWN,
        _refuses(_P, "Azure OpenAI quotas and limits"),
    ),
    Rule(
        "long-example",
        "An example has at most 65,536 tokens.",
        _ignores(_P, "Fine-tuning best practices: longer examples are cut at the end"),
        _ignores(_P, "Models: fine-tuning"),
    ),
    Rule(
        "format",
        "The method supports the file's format.",
        _refuses(_E, "wrong format for the method"),
        _UNKNOWN,
    ),
    Rule(
        "model-method",
        "The model can be trained with this method.",
        _refuses(_P, "Fine-tuning guides, 2026"),
        _refuses(_P, "Models that support fine-tuning"),
    ),
    Rule(
        "model-images",
        "The model can be trained with images.",
        _refuses(_P, _VISION),
        _refuses(_P, _VISION),
    ),
    Rule(
        "completion-format",
        "Examples are chats: no current model can be trained on prompts and completions.",
        _refuses(_P, "Deprecations: babbage-002 and davinci-002 ended on 2026-09-28"),
        _refuses(_P, "Models that support fine-tuning"),
    ),
    Rule(
        "credential",
        "Training data contains no credentials: everybody who can read the file or the model's answers might find them.",
        _UNKNOWN,
        _UNKNOWN,
        always=Severity.ERROR,
    ),
)

_EXAMPLE_RULES = (
    Rule(
        "extra-key",
        "An example has only the keys of its method.",
        _refuses(_E, 'Example 1 contains an extra "weight"'),
        _UNKNOWN,
    ),
    Rule(
        "extra-fields",
        "An example has a prompt and a completion, and nothing else.",
        _refuses(_V, "openai-python, validators"),
        _refuses(_E, "Each line's json may only contain two properties"),
    ),
    Rule(
        "special-token",
        "No text contains the model's control tokens, such as those that end a text.",
        _refuses(_E, "message contains an invalid token"),
        _UNKNOWN,
    ),
    Rule("lone-surrogate", "Surrogate pairs are complete: no half of a pair is escaped alone.", _UNKNOWN, _UNKNOWN),
    Rule(
        "text",
        "Prompts and completions are strings.",
        _refuses(_V, "openai-python, validators"),
        _refuses(_E, "jsonlValidationFailed"),
    ),
    Rule(
        "grader-field",
        "Every example has the fields that the grader uses.",
        _refuses(_P, "Graders"),
        _refuses(_P, _RFT),
    ),
    Rule(
        "grader-template",
        "Templates of a grader have no spaces inside their braces.",
        _accepts(_V, "build-hours, reinforcement fine-tuning"),
        Evidence(Verdict.UNKNOWN, _V, "azure-skills, grader checklist"),
    ),
    Rule(
        "no-reference",
        "An example of reinforcement has fields for the grader besides its messages.",
        _UNKNOWN,
        Evidence(Verdict.UNKNOWN, _V, "azure-skills, validate_rft.py"),
    ),
)

_MESSAGE_RULES = (
    Rule(
        "message-key",
        "A message has only the keys of its role.",
        _refuses(_V, "build-hours, data_validator.py"),
        _UNKNOWN,
    ),
    Rule(
        "role",
        "Every message has a known role.",
        _refuses(_E, "Discriminator 'role' is missing"),
        _refuses(_V, "validate_sft.py"),
    ),
    Rule("role-developer", "The developer role is for reinforcement.", _UNKNOWN, _UNKNOWN),
    Rule(
        "role-system",
        "Reinforcement takes developer messages, not system messages, and no legacy functions.",
        _UNKNOWN,
        _UNKNOWN,
    ),
    Rule(
        "no-user",
        "A conversation has a message from the user.",
        _accepts(_V, _COOKBOOK),
        Evidence(Verdict.UNKNOWN, _V, "validate_sft.py"),
    ),
    Rule(
        "no-answer",
        "A conversation has a message from the assistant.",
        _refuses(_V, _COOKBOOK),
        _refuses(_V, "validate_sft.py"),
    ),
    Rule(
        "last-message",
        "The last message of a supervised example is from the assistant.",
        _refuses(_T, "importers that refuse it"),
        _refuses(_P, "azure-skills, dataset formats"),
    ),
    Rule(
        "last-user-message",
        "The last message of a reinforcement example is from the user.",
        _UNKNOWN,
        _refuses(_P, _RFT),
    ),
    Rule("last-input-message", "The input of a preference ends with the user's turn.", _UNKNOWN, _UNKNOWN),
    Rule(
        "content",
        "A message has text, a list of parts, a refusal or calls.",
        _BY_SCHEMA,
        _refuses(_V, "validate_sft.py"),
    ),
    Rule(
        "empty",
        "No message is empty.",
        Evidence(Verdict.UNKNOWN, _V, _COOKBOOK),
        Evidence(Verdict.UNKNOWN, _V, "validate_sft.py"),
    ),
    Rule("empty-parts", "A list of parts has at least one part.", _BY_SCHEMA, _UNKNOWN),
    Rule("part", "A part is text, an image or a refusal, in the shape of the chat API.", _BY_SCHEMA, _UNKNOWN),
    Rule("refusal-part", "The assistant's parts are texts, or exactly one refusal.", _BY_SCHEMA, _UNKNOWN),
    Rule("message-text", "A message's name and its refusal are text.", _BY_SCHEMA, _UNKNOWN),
    Rule("null-key", "A key without a value is omitted, not null.", _UNKNOWN, _UNKNOWN),
    Rule(
        "weight", "A weight is 0 or 1, and only messages from the assistant have one.", _BY_SCHEMA, _refuses(_P, _SFT)
    ),
    Rule("no-weight", "At least one answer has a weight other than 0.", _UNKNOWN, _UNKNOWN),
)

_TOOL_RULES = (
    Rule("tools", "A tool has the type function and a function with a name.", _BY_SCHEMA, _refuses(_S, "the chat API")),
    Rule(
        "tool-name",
        "A function's name has 1 to 64 of A-Z, a-z, 0-9, _ and -.",
        _BY_SCHEMA,
        _refuses(_S, "the chat API"),
    ),
    Rule("many-tools", "An example has at most 128 tools.", _BY_SCHEMA, _refuses(_P, "Azure OpenAI quotas and limits")),
    Rule(
        "empty-functions",
        "The older list of functions is not empty.",
        Evidence(Verdict.UNKNOWN, _S, _CHAT_SCHEMA),
        _accepts(_P, _TOOLS),
    ),
    Rule("parallel-tool-calls", "parallel_tool_calls is true or false.", _BY_SCHEMA, _refuses(_P, _TOOLS)),
    Rule(
        "tool-calls",
        "Only the assistant calls tools; a call has a function with a name.",
        _BY_SCHEMA,
        _refuses(_S, "the chat API"),
    ),
    Rule("tool-call-shape", "A tool call has an id and the type function.", _BY_SCHEMA, _UNKNOWN),
    Rule("arguments-text", "A call's arguments are a string, not an object.", _BY_SCHEMA, _refuses(_S, "the chat API")),
    Rule("tool-arguments", "A call's arguments are a JSON object in a string.", _UNKNOWN, _UNKNOWN),
    Rule("undeclared-tool", "The example declares every tool that it calls.", _UNKNOWN, _UNKNOWN),
    Rule("no-tools", "An example that calls tools declares them.", _UNKNOWN, _accepts(_P, _TOOLS)),
    Rule(
        "undeclared-function", "An example with a function_call has functions.", _refuses(_I, "the chat API"), _UNKNOWN
    ),
    Rule(
        "tool-call-id",
        "A tool's message answers a call of an earlier message.",
        _BY_SCHEMA,
        _refuses(_V, "validate_sft.py"),
    ),
    Rule(
        "unanswered-call",
        "Every tool call is answered before the next message of the user or the assistant.",
        _refuses(_I, "the chat API"),
        _refuses(_I, "the chat API"),
    ),
    Rule("function-call", "A function_call has a name and arguments as text.", _BY_SCHEMA, _refuses(_P, _TOOLS)),
    Rule("function-name", "A message of the role function has the function's name.", _BY_SCHEMA, _UNKNOWN),
)

_IMAGE_RULES = (
    Rule("image-role", "Only messages from the user have images.", _BY_SCHEMA, _refuses(_P, _VISION)),
    Rule("image", "An image has a web address, or is inline in base64.", _refuses(_P, _VISION), _refuses(_P, _VISION)),
    Rule("image-type", "An inline image is JPEG, PNG or WEBP.", _ignores(_P, _VISION), _ignores(_P, _VISION)),
    Rule(
        "image-jpg",
        "The type of an inline JPEG is image/jpeg.",
        _UNKNOWN,
        _accepts(_E, "microsoft-foundry/fine-tuning, Video_FT_Action_Recognition"),
    ),
    Rule("image-size", "An image has at most 10 MB.", _ignores(_P, _VISION), _ignores(_P, _VISION)),
    Rule("image-detail", "An image's detail is auto, low or high.", _BY_SCHEMA, _refuses(_P, _VISION)),
    Rule("images-openai", "An example has at most 10 images.", _refuses(_P, _VISION), _accepts(_P, _VISION)),
    Rule("images", "An example has at most 64 images.", _refuses(_P, _VISION), _ignores(_P, _VISION)),
    Rule(
        "images-in-preferences",
        "Preferences are text only: the sources disagree about images.",
        Evidence(Verdict.UNKNOWN, _P, "the guide says text only, the API description also images"),
        _UNKNOWN,
    ),
    Rule(
        "images-in-reinforcement",
        "Reinforcement on Azure supports text only.",
        _accepts(_S, "FineTuneReinforcementRequestInput"),
        _refuses(_P, "Models that support fine-tuning"),
    ),
)

_PREFERENCE_RULES = (
    Rule(
        "output-role",
        "Outputs are messages of the assistant and of tools.",
        _refuses(_S, "FineTunePreferenceRequestInput"),
        _refuses(_P, _DPO),
    ),
    Rule(
        "output-messages",
        "An output is exactly one message from the assistant.",
        _refuses(_S, "FineTunePreferenceRequestInput"),
        _accepts(_P, _DPO),
    ),
    Rule("output-weight", "Messages of an output have no weight.", _UNKNOWN, _UNKNOWN),
    Rule("same-outputs", "The two outputs differ.", _UNKNOWN, Evidence(Verdict.UNKNOWN, _V, "validate_dpo.py")),
)

RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (*_FILE_RULES, *_EXAMPLE_RULES, *_MESSAGE_RULES, *_TOOL_RULES, *_IMAGE_RULES, *_PREFERENCE_RULES)
}
"""Every rule by its name."""
