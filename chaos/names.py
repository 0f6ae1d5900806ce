"""What the tenant of a run has, as the processes of a run call it."""

BUCKET = "chaos-events"
REGION = "eu-central-1"
ORDERED = ("ordered-0", "ordered-1")  # event sinks that get one alert after another
# Which destinations must get the events of each kind.
OWED = {
    "alert": ("plain", "moody"),
    "page": ("plain", "moody", "pagerduty"),
    "chat": ("plain", "moody", "slack"),
    "ordered": ("plain", "moody", *ORDERED),
    "audit": ("http", "s3"),
    "flow": ("http", "s3"),
}
