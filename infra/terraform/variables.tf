variable "region" {
  description = "AWS region, as eu-central-1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "A region looks like eu-central-1."
  }
}

variable "name" {
  description = "Before the name of all that is made, so that several may share an account."
  type        = string
  default     = "tickrec"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.name))
    error_message = "2 to 20 of lower-case letters, digits and dashes, a letter first: names of buckets and of Redis's nodes are made of it."
  }
}

variable "size" {
  description = "small to try it, medium, or large: how many machines of which kind, as sizes.tf says."
  type        = string
  default     = "small"

  validation {
    condition     = contains(["small", "medium", "large"], var.size)
    error_message = "There are small, medium and large."
  }
}

variable "protected" {
  description = "Whether it is refused to destroy what keeps data, and its keys. To take all down: apply with false, then destroy."
  type        = bool
  default     = true
}

variable "zones" {
  description = "Availability zones of the region, as eu-central-1a: three, as Kafka keeps three copies."
  type        = list(string)

  validation {
    condition     = length(distinct(var.zones)) == 3
    error_message = "Name three different zones: Kafka keeps a copy of each record in each."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the network; each zone gets a sixteenth of them for public and a quarter for private subnets."
  type        = string
  default     = "10.60.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.vpc_cidr)) && tonumber(split("/", var.vpc_cidr)[1]) <= 20
    error_message = "An IPv4 network of /20 or larger, as 10.60.0.0/16: every pod has an address of its own."
  }
}

variable "admin_role_arns" {
  description = "IAM roles that may do anything in the Kubernetes cluster, yours among them."
  type        = set(string)

  validation {
    condition     = length(var.admin_role_arns) > 0 && alltrue([for arn in var.admin_role_arns : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/", arn))])
    error_message = "At least one ARN of a role, as arn:aws:iam::123456789012:role/platform: nobody else could reach the cluster."
  }
}

variable "kubernetes_api_cidrs" {
  description = "Networks outside the VPC that may reach the Kubernetes API; none unless named."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.kubernetes_api_cidrs : can(cidrnetmask(cidr)) && cidr != "0.0.0.0/0"])
    error_message = "IPv4 networks, as 203.0.113.0/24, and not the whole internet."
  }
}

variable "kafka_password" {
  description = "Of the user tickrec. It is in Secrets Manager, and not in the state."
  type        = string
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{16,128}$", var.kafka_password))
    error_message = "16 to 128 of letters, digits, _ and -."
  }
}

variable "redis_password" {
  description = "Of the user tickrec. It is in Secrets Manager, as a part of REDIS_URL, and not in the state."
  type        = string
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{16,128}$", var.redis_password))
    error_message = "16 to 128 of letters, digits, _ and -: these need no escaping in a URL."
  }
}

variable "passwords_version" {
  description = "Raise it with new passwords: those in the state are not compared, as there are none."
  type        = number
  default     = 1

  validation {
    condition     = var.passwords_version >= 1 && floor(var.passwords_version) == var.passwords_version
    error_message = "A whole number from 1 on."
  }
}

variable "alarm_email" {
  description = "E-mail address to notify of alarms, once it has confirmed; none by default. Others may subscribe to the topic."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_email == null || can(regex("^[^@ ]+@[^@ ]+[.][^@ ]+$", var.alarm_email))
    error_message = "An e-mail address."
  }
}

variable "log_retention_days" {
  description = "How long CloudWatch keeps logs."
  type        = number
  default     = 365

  validation {
    condition     = contains([30, 60, 90, 180, 365, 400, 731], var.log_retention_days)
    error_message = "One of CloudWatch's periods: 30, 60, 90, 180, 365, 400 or 731 days."
  }
}

variable "kubernetes_version" {
  description = "Of EKS."
  type        = string
  default     = "1.35"

  validation {
    condition     = can(regex("^1[.][0-9]{2}$", var.kubernetes_version))
    error_message = "Major and minor version, as 1.35."
  }
}

variable "kafka_version" {
  description = "Of MSK, one that runs without ZooKeeper."
  type        = string
  default     = "4.1.x.kraft"

  validation {
    condition     = can(regex("^[0-9]+[.][0-9]+[.](x|[0-9]+)[.]kraft$", var.kafka_version))
    error_message = "A version with .kraft at its end, as 4.1.x.kraft."
  }
}

variable "valkey_version" {
  description = "Of ElastiCache."
  type        = string
  default     = "8.2"

  validation {
    condition     = can(regex("^[89][.][0-9]$", var.valkey_version))
    error_message = "8.0 or newer, as 8.2: sharded pub/sub and the commands of clusters are needed."
  }
}
